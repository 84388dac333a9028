// A box around each face, over the picture.
import type { Answer } from "../worker/engine";

/** Draw the faces' boxes and labels; the canvas lies over the picture, of the same size and place. */
export function drawBoxes(canvas: HTMLCanvasElement, { width, height, faces }: Pick<Answer, "width" | "height" | "faces">): void {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d")!;
  pen.clearRect(0, 0, width, height);
  const shown = canvas.clientWidth ? Math.max(width / canvas.clientWidth, height / canvas.clientHeight) : 1; // pixels of the frame per pixel of the page
  pen.lineWidth = 2.5 * shown;
  pen.font = `600 ${Math.round(15 * shown)}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  for (const { box: [x, y, w, h], label, track } of faces) {
    pen.strokeStyle = "#fff";
    pen.strokeRect(x, y, w, h);
    const text = `${label} · ${track}`, high = 24 * shown, wide = pen.measureText(text).width + 14 * shown;
    const left = Math.max(0, Math.min(x, width - wide)), top = y - high < 0 ? Math.min(y + h, height - high) : y - high;
    pen.fillStyle = "#0e1116d9";
    pen.fillRect(left, top, wide, high);
    pen.fillStyle = "#fff";
    pen.fillText(text, left + 7 * shown, top + high / 2);
  }
}
