// Pictures as bytes, and their parts. Rounding is Python's: halves go to the even number.

/** channels: 4 (red, green, blue, alpha, as a canvas gives them) or 1 (grey); rows from the top, without gaps. */
export interface Picture { data: Uint8Array | Uint8ClampedArray; width: number; height: number; channels: 1 | 4 }

/** To the nearest whole number, halves to the even one. */
export function round(value: number): number {
  const down = Math.floor(value), rest = value - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

export function blank(width: number, height: number, channels: 1 | 4): Picture {
  return { data: new Uint8Array(width * height * channels), width, height, channels };
}

/** The part from (left, top) up to (right, bottom), which end at the picture's edges; null where that is empty. */
export function part(picture: Picture, left: number, top: number, right: number, bottom: number): Picture | null {
  const { data, width, height, channels } = picture;
  const x = Math.max(0, left), y = Math.max(0, top);
  const w = Math.min(width, right) - x, h = Math.min(height, bottom) - y;
  if (w <= 0 || h <= 0) return null;
  const out = blank(w, h, channels);
  for (let row = 0; row < h; row++) {
    const from = ((y + row) * width + x) * channels;
    out.data.set(data.subarray(from, from + w * channels), row * w * channels);
  }
  return out;
}

/** The square of `side` pixels at (left, top), with the picture's edge repeated beyond it; null where nothing is inside. */
export function square(picture: Picture, left: number, top: number, side: number): Picture | null {
  const { data, width, height, channels } = picture;
  if (left >= width || top >= height || left + side <= 0 || top + side <= 0) return null;
  const inside = left >= 0 && top >= 0 && left + side <= width && top + side <= height;
  if (inside) return part(picture, left, top, left + side, top + side);
  const out = blank(side, side, channels);
  for (let row = 0, to = 0; row < side; row++) {
    const y = Math.min(height - 1, Math.max(0, top + row));
    for (let column = 0; column < side; column++) {
      const from = (y * width + Math.min(width - 1, Math.max(0, left + column))) * channels;
      for (let channel = 0; channel < channels; channel++) out.data[to++] = data[from + channel]!;
    }
  }
  return out;
}

/** In grey, weighted as OpenCV weights the colours (ITU-R BT.601, 15 bits). */
export function grey(picture: Picture): Picture {
  if (picture.channels === 1) return picture;
  const { data, width, height } = picture;
  const out = new Uint8Array(width * height);
  for (let to = 0, from = 0; to < out.length; to++, from += 4) {
    out[to] = (9798 * data[from]! + 19235 * data[from + 1]! + 3735 * data[from + 2]! + 16384) >> 15;
  }
  return { data: out, width, height, channels: 1 };
}
