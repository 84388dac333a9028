// Where the frames come from: the camera, a video file, a picture.
import { at } from "../../../fer_runtime/outputs/web/faces.js";
import { FerError } from "../errors";
import { MUTED, openCamera, UNPLUGGED } from "./camera";

/** What the source tells the page. */
export interface Events { ended(text: string, problem: boolean): void; paused(text: string | null): void }

/** What was shown: a video or the camera, or a picture; null where another choice came in between. */
export type Begun = "video" | ImageBitmap | null;

/** The element that shows the source; one source at a time. */
export class Source {
  readonly video = at("video") as HTMLVideoElement;
  readonly #still = at("still") as HTMLImageElement;
  #stream: MediaStream | null = null;
  #address = ""; // of a file that is shown
  #turn = 0; // what was chosen last is shown, however long an earlier choice takes

  constructor(private readonly events: Events) {
    this.video.addEventListener("ended", () => this.events.ended("the video is over", false));
  }

  /** Show the camera. opened: the networks; until then the picture does not move, which would cost time that they need. */
  async camera(opened: Promise<unknown>): Promise<Begun> {
    const turn = this.close(), stream = await openCamera();
    if (turn !== this.#turn) return release(stream);
    this.#stream = stream;
    const track = stream.getVideoTracks()[0]!;
    track.addEventListener("ended", () => this.#stream === stream && this.events.ended(UNPLUGGED, true));
    track.addEventListener("mute", () => this.#stream === stream && this.events.paused(MUTED));
    track.addEventListener("unmute", () => this.#stream === stream && this.events.paused(null));
    await opened;
    if (turn !== this.#turn) return null;
    this.video.srcObject = stream;
    this.#show(this.video);
    await this.video.play();
    return "video";
  }

  /** Show a file: a picture's pixels, or a video, which plays. Throws a FerError for what is neither. */
  async file(file: File): Promise<Begun> {
    const turn = this.close();
    this.#address = URL.createObjectURL(file);
    try {
      if (file.type.startsWith("video/")) {
        this.video.src = this.#address;
        this.#show(this.video);
        await this.video.play();
        return "video";
      }
      const pixels = await createImageBitmap(file);
      if (turn !== this.#turn) return null;
      this.#still.src = this.#address;
      this.#show(this.#still);
      return pixels;
    } catch {
      if (turn !== this.#turn) return null;
      this.close();
      throw new FerError(`${file.name} cannot be shown by this browser: expected a picture (JPEG, PNG, WebP) or a video (MP4, WebM).`);
    }
  }

  /** Let go of the camera or the file. Returns the turn of what comes next. */
  close(): number {
    release(this.#stream);
    this.#stream = null;
    this.video.srcObject = null;
    this.video.removeAttribute("src");
    this.#still.removeAttribute("src");
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = "";
    for (const element of [this.video, this.#still, at("stage")]) element.hidden = true;
    at("off").hidden = false;
    return ++this.#turn;
  }

  #show(element: HTMLElement): void {
    element.hidden = at("stage").hidden = false;
    at("off").hidden = true;
  }
}

function release(stream: MediaStream | null): null {
  for (const track of stream?.getTracks() ?? []) track.stop();
  return null;
}
