// Other sizes of a picture, computed as OpenCV's resize computes them: the networks were trained on its pixels.
import { blank, round, type Picture } from "./picture";

/** Each new pixel is the mean of those that it covers (INTER_AREA); for shrinking. */
export function resizeArea(picture: Picture, width: number, height: number): Picture {
  if (picture.width === width && picture.height === height) return picture;
  if (width > picture.width || height > picture.height) return interpolate(picture, width, height, areaTap);
  const across = picture.width / width, down = picture.height / height;
  if (Number.isInteger(across) && Number.isInteger(down)) return meanOfBlocks(picture, width, height, across, down);
  return meanOfShares(picture, width, height);
}

/** Between the four nearest pixels (INTER_LINEAR). */
export function resizeLinear(picture: Picture, width: number, height: number): Picture {
  if (picture.width === width && picture.height === height) return picture;
  if (picture.width === 2 * width && picture.height === 2 * height) return meanOfBlocks(picture, width, height, 2, 2);
  return interpolate(picture, width, height, linearTap);
}

/** The pixel at each place (INTER_NEAREST). */
export function resizeNearest(picture: Picture, width: number, height: number): Picture {
  const { data, channels } = picture, out = blank(width, height, channels);
  const columns = Array.from({ length: width }, (_, x) => Math.min(picture.width - 1, Math.floor((x * picture.width) / width)));
  for (let y = 0, to = 0; y < height; y++) {
    const row = Math.min(picture.height - 1, Math.floor((y * picture.height) / height)) * picture.width;
    for (const column of columns) {
      for (let channel = 0; channel < channels; channel++) out.data[to++] = data[(row + column) * channels + channel]!;
    }
  }
  return out;
}

/** Halves while it is at least twice as large, then a step of less, all linear: means of fractions of pixels take longer. */
export function shrink(picture: Picture, width: number, height: number): Picture {
  while (picture.height >= 2 * height && picture.width >= 2 * width) {
    picture = resizeLinear(picture, picture.width >> 1, picture.height >> 1);
  }
  return resizeLinear(picture, width, height);
}

function meanOfBlocks(picture: Picture, width: number, height: number, across: number, down: number): Picture {
  const { data, channels } = picture, out = blank(width, height, channels);
  const step = picture.width * channels, count = across * down;
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < channels; channel++, to++) {
        const first = y * down * step + x * across * channels + channel;
        let sum = 0;
        for (let row = 0; row < down; row++) {
          for (let column = 0; column < across; column++) sum += data[first + row * step + column * channels]!;
        }
        out.data[to] = count === 4 ? (sum + 2) >> 2 : round(sum / count);
      }
    }
  }
  return out;
}

interface Share { from: number; to: number; weight: number }

/** Which old pixels each new one covers, and by how much. */
function shares(length: number, wanted: number): Share[] {
  const scale = length / wanted, found: Share[] = [];
  for (let to = 0; to < wanted; to++) {
    const start = to * scale, end = start + scale, cell = Math.min(scale, length - start);
    const last = Math.min(Math.floor(end), length - 1), first = Math.min(Math.ceil(start), last);
    if (first - start > 1e-3) found.push({ from: first - 1, to, weight: (first - start) / cell });
    for (let from = first; from < last; from++) found.push({ from, to, weight: 1 / cell });
    if (end - last > 1e-3) found.push({ from: last, to, weight: Math.min(end - last, 1, cell) / cell });
  }
  return found;
}

function meanOfShares(picture: Picture, width: number, height: number): Picture {
  const { data, channels } = picture, out = blank(width, height, channels);
  const columns = shares(picture.width, width), rows = shares(picture.height, height);
  const sums = new Float64Array(width * height * channels), line = new Float64Array(width * channels);
  let done = -1;
  for (const row of rows) {
    if (row.from !== done) {
      line.fill(0);
      for (const { from, to, weight } of columns) {
        const first = (row.from * picture.width + from) * channels;
        for (let channel = 0; channel < channels; channel++) line[to * channels + channel]! += weight * data[first + channel]!;
      }
      done = row.from;
    }
    const start = row.to * line.length;
    for (let index = 0; index < line.length; index++) sums[start + index]! += row.weight * line[index]!;
  }
  for (let index = 0; index < sums.length; index++) out.data[index] = round(sums[index]!);
  return out;
}

interface Tap { from: number; share: number } // between the pixel `from` and the next one

function linearTap(to: number, scale: number): Tap {
  const place = (to + 0.5) * scale - 0.5, from = Math.floor(place);
  return { from, share: Math.fround(place) - from };
}

/** Where INTER_AREA enlarges. */
function areaTap(to: number, scale: number): Tap {
  const from = Math.floor(to * scale), share = to + 1 - (from + 1) / scale;
  return { from, share: share <= 0 ? 0 : share - Math.floor(share) };
}

/** Taps with weights of 11 bits, as OpenCV's whole numbers have them. */
function taps(length: number, wanted: number, tap: (to: number, scale: number) => Tap): { near: Int32Array; far: Int32Array; weight: Int32Array } {
  const near = new Int32Array(wanted), far = new Int32Array(wanted), weight = new Int32Array(wanted);
  for (let to = 0; to < wanted; to++) {
    const { from, share } = tap(to, length / wanted);
    near[to] = Math.min(length - 1, Math.max(0, from));
    far[to] = Math.min(length - 1, Math.max(0, from + 1));
    weight[to] = round(share * 2048);
  }
  return { near, far, weight };
}

function interpolate(picture: Picture, width: number, height: number, tap: (to: number, scale: number) => Tap): Picture {
  const { data, channels } = picture, out = blank(width, height, channels);
  const columns = taps(picture.width, width, tap), rows = taps(picture.height, height, tap);
  const step = picture.width * channels;
  const line = (row: number, into: Int32Array): void => {
    for (let x = 0, to = 0; x < width; x++) {
      const near = row * step + columns.near[x]! * channels, far = row * step + columns.far[x]! * channels, share = columns.weight[x]!;
      for (let channel = 0; channel < channels; channel++) into[to++] = (2048 - share) * data[near + channel]! + share * data[far + channel]!;
    }
  };
  let upper = new Int32Array(width * channels), lower = new Int32Array(width * channels);
  for (let y = 0, to = 0, at = [-1, -1]; y < height; y++) {
    const near = rows.near[y]!, far = rows.far[y]!, share = rows.weight[y]!;
    if (at[1] === near) [upper, lower] = [lower, upper];
    else if (at[0] !== near) line(near, upper);
    if (at[0] !== near || at[1] !== far) line(far, lower);
    at = [near, far];
    for (let index = 0; index < upper.length; index++) {
      out.data[to++] = ((((2048 - share) * (upper[index]! >> 4)) >> 16) + ((share * (lower[index]! >> 4)) >> 16) + 2) >> 2;
    }
  }
  return out;
}
