// Calls from the page to its worker: one message there, one back, in any order.
import { FerError } from "../errors";

interface Call { id: number; method: string; args: unknown[] }
interface Reply { id: number; result?: unknown; error?: { message: string; ours: boolean } }
type Methods = Record<string, (...args: never[]) => unknown>;

/** Calls on a worker that `serve`s: `call("detect", frame)`; `transfer` names the buffers that are given away. */
export class Remote {
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #count = 0;

  constructor(readonly worker: Worker) {
    worker.addEventListener("message", (event: MessageEvent<Reply>) => this.#settle(event.data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#fail(new Error(event.message || "the worker did not start"));
    });
  }

  call<T>(method: string, args: unknown[] = [], transfer: Transferable[] = []): Promise<T> {
    const id = ++this.#count;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.worker.postMessage({ id, method, args } satisfies Call, transfer);
    });
  }

  #settle({ id, result, error }: Reply): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(error.ours ? new FerError(error.message) : new Error(error.message));
    else waiting?.resolve(result);
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** In the worker: answer every call with what its method returns. */
export function serve(methods: Methods): void {
  addEventListener("message", async (event: MessageEvent<Call>) => {
    const { id, method, args } = event.data;
    const reply: Reply = { id };
    try {
      const found = methods[method];
      if (!found) throw new Error(`no method ${method}`);
      reply.result = await found(...(args as never[]));
    } catch (error) {
      reply.error = { message: error instanceof Error ? error.message : String(error), ours: error instanceof FerError };
    }
    (postMessage as (message: unknown) => void)(reply);
  });
}
