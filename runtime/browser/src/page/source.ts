// Where the frames come from: the camera, a video file, a picture.
import { at } from "../../../fer_runtime/outputs/web/faces.js";
import { FerError } from "../errors";
import { MUTED, openCamera, UNPLUGGED } from "./camera";

/** What the source tells the page. */
export interface Events { ended(text: string, problem: boolean): void; paused(text: string | null): void }

/** The element that shows the source; one source at a time. */
export class Source {
  readonly video = at("video") as HTMLVideoElement;
  readonly #still = at("still") as HTMLImageElement;
  #stream: MediaStream | null = null;
  #address = ""; // of a file that is shown

  constructor(private readonly events: Events) {
    this.video.addEventListener("ended", () => this.events.ended("the video is over", false));
  }

  async camera(): Promise<void> {
    this.close();
    const stream = await openCamera();
    this.close(); // what was opened meanwhile
    this.#stream = stream;
    const track = stream.getVideoTracks()[0]!;
    track.addEventListener("ended", () => this.#stream === stream && this.events.ended(UNPLUGGED, true));
    track.addEventListener("mute", () => this.#stream === stream && this.events.paused(MUTED));
    track.addEventListener("unmute", () => this.#stream === stream && this.events.paused(null));
    this.video.srcObject = stream;
    this.#show(this.video);
    await this.video.play();
  }

  /** Show a file. Returns a picture's pixels; null for a video, which plays. Throws a FerError for what is neither. */
  async file(file: File): Promise<ImageBitmap | null> {
    this.close();
    this.#address = URL.createObjectURL(file);
    try {
      if (file.type.startsWith("video/")) {
        this.video.src = this.#address;
        this.#show(this.video);
        await this.video.play();
        return null;
      }
      const pixels = await createImageBitmap(file);
      this.#still.src = this.#address;
      this.#show(this.#still);
      return pixels;
    } catch {
      this.close();
      throw new FerError(`${file.name} cannot be shown by this browser: expected a picture (JPEG, PNG, WebP) or a video (MP4, WebM).`);
    }
  }

  /** Let go of the camera or the file. */
  close(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.video.srcObject = null;
    this.video.removeAttribute("src");
    this.#still.removeAttribute("src");
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = "";
    for (const element of [this.video, this.#still, at("stage")]) element.hidden = true;
    at("off").hidden = false;
  }

  #show(element: HTMLElement): void {
    element.hidden = at("stage").hidden = false;
    at("off").hidden = true;
  }
}
