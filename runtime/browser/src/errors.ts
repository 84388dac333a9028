/** A fault that a person can mend: one sentence that says what was expected, what was found, and what to do. */
export class FerError extends Error {
  override name = "FerError";
}

/** The sentence of any fault, for the page; of one that is not ours, with where it comes from. */
export function sentence(error: unknown): string {
  if (error instanceof FerError) return error.message;
  return `This page met a fault of its own (${error instanceof Error ? error.message : String(error)}): reload it.`;
}
