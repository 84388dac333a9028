// What is shared with the device's page: fer_runtime/outputs/web/faces.js.
declare module "*/outputs/web/faces.js" {
  export interface ShownFace { track: number; label: string; probabilities: Record<string, number> }
  export interface ShownResult { time: string; faces: ShownFace[] }
  export function at(id: string): HTMLElement;
  export function make<K extends keyof HTMLElementTagNameMap>(name: K, text?: string): HTMLElementTagNameMap[K];
  export function percent(share: number): string;
  export function begin(labels: string[], history?: unknown[]): void;
  export function showFaces(result: ShownResult): void;
  export function remember(result: ShownResult): void;
  export function drawLine(): void;
}
