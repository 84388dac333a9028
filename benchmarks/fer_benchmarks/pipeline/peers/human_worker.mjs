// Human on a video, in node: `human_worker.mjs FOLDER VIDEO FRAMES PYTHON DECODER...`, a line of JSON per frame.
// FOLDER is where npm installed it; PYTHON DECODER VIDEO FRAMES gives the frames (frames.py). Human runs on its
// WebAssembly backend, with what expressions need: face detection, mesh (which follows faces) and emotion.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [folder, video, frames, ...decoder] = process.argv.slice(2);
const modules = resolve(folder, "node_modules");
const require = createRequire(import.meta.url);
console.log = console.error; // standard output is for the lines

// node's fetch opens no files, and that is how the models are asked for.
const fetchOverNetwork = globalThis.fetch;
globalThis.fetch = async (request, options) => {
  const address = String(request.url ?? request);
  if (!address.startsWith("file:")) return fetchOverNetwork(request, options);
  return new Response(await readFile(fileURLToPath(address)));
};

function line(object) {
  process.stdout.write(JSON.stringify(object) + "\n");
}

async function open() {
  const { Human } = require(resolve(modules, "@vladmandic/human/dist/human.node-wasm.js"));
  const human = new Human({
    backend: "wasm",
    wasmPath: resolve(modules, "@tensorflow/tfjs-backend-wasm/dist") + "/",
    modelBasePath: pathToFileURL(resolve(modules, "@vladmandic/human/models")).href + "/",
    debug: false,
    filter: { enabled: false },
    gesture: { enabled: false },
    body: { enabled: false },
    hand: { enabled: false },
    object: { enabled: false },
    face: {
      enabled: true,
      detector: { maxDetected: 10 }, // one by default
      emotion: { enabled: true },
      iris: { enabled: false },
      description: { enabled: false },
    },
  });
  await human.load();
  line({ versions: { human: human.version, tfjs: human.tf.version_core, node: process.versions.node }, detector: "BlazeFace" });
  return human;
}

/** Each frame's RGB bytes with its size, out of the decoder's pipe. */
async function* pictures(pipe) {
  let header = "", frame = null, filled = 0, width = 0, height = 0;
  for await (let chunk of pipe) {
    if (!frame) {
      const end = chunk.indexOf(10);
      header += chunk.subarray(0, end < 0 ? chunk.length : end).toString();
      if (end < 0) continue;
      [width, height] = header.split(" ").map(Number);
      frame = new Uint8Array(width * height * 3);
      chunk = chunk.subarray(end + 1);
    }
    while (chunk.length) {
      const part = chunk.subarray(0, frame.length - filled);
      frame.set(part, filled);
      filled += part.length;
      chunk = chunk.subarray(part.length);
      if (filled === frame.length) {
        yield { frame, width, height };
        filled = 0;
      }
    }
  }
}

/** Around the mesh, from brows or hairline to chin: Human's own box is about twice as wide and high as the face. */
function around({ mesh, box }) {
  if (!mesh?.length) return box;
  const [xs, ys] = [0, 1].map((axis) => mesh.map((point) => point[axis]));
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return [left, top, Math.max(...xs) - left, Math.max(...ys) - top];
}

const human = await open();
const child = spawn(decoder[0], [...decoder.slice(1), video, frames], { stdio: ["ignore", "pipe", "inherit"] });
let index = 0;
for await (const { frame, width, height } of pictures(child.stdout)) {
  const tensor = human.tf.tensor3d(frame, [height, width, 3], "int32");
  const result = await human.detect(tensor);
  human.tf.dispose(tensor);
  if (result.error) throw new Error(result.error);
  const faces = result.face.map((face) => ({ box: around(face), label: face.emotion?.[0]?.emotion ?? "uncertain" }));
  line({ frame: index++, faces });
}
