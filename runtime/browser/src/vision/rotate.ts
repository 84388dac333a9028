// A grey picture turned about its middle, as OpenCV's warpAffine turns it.
import { blank, type Picture } from "./picture";

/** The middle `size` pixels of a square grey picture, turned counterclockwise by `degrees`; black beyond its edge. */
export function rotated(picture: Picture, size: number, degrees: number): Picture {
  const { data, width, height } = picture, out = blank(size, size, 1);
  const angle = (degrees * Math.PI) / 180, cos = Math.cos(angle), sin = Math.sin(angle);
  const middle = (width - 1) / 2, margin = (width - size) / 2;
  const pixel = (x: number, y: number): number => (x < 0 || y < 0 || x >= width || y >= height ? 0 : data[y * width + x]!);
  for (let y = 0, to = 0; y < size; y++) {
    for (let x = 0; x < size; x++, to++) {
      const right = x + margin - middle, down = y + margin - middle;
      const fromX = cos * right - sin * down + middle, fromY = sin * right + cos * down + middle;
      const left = Math.floor(fromX), top = Math.floor(fromY), across = fromX - left, below = fromY - top;
      const upper = pixel(left, top) + across * (pixel(left + 1, top) - pixel(left, top));
      const lower = pixel(left, top + 1) + across * (pixel(left + 1, top + 1) - pixel(left, top + 1));
      out.data[to] = Math.floor(upper + below * (lower - upper) + 0.5);
    }
  }
  return out;
}
