// The model folder beside the page: site.json says what is in it, and each file is checked against that.
import { FerError } from "../errors";

export interface SiteFile { file: string; sha256: string; bytes: number; manifest?: unknown }
export interface Site { classifier: SiteFile; detector: SiteFile; locator: SiteFile; version: string }

const REBUILD = "build the page again with `make web-demo` or `fer-export --site`";

/** What model/site.json says. base: the page's own address. */
export async function loadSite(base: string): Promise<Site> {
  const response = await get(new URL("model/site.json", base), "model/site.json");
  let site: Partial<Site> | null;
  try {
    site = (await response.json()) as Partial<Site> | null;
  } catch {
    throw new FerError(`model/site.json is not JSON: ${REBUILD}.`);
  }
  for (const name of ["classifier", "detector", "locator"] as const) {
    const entry = site?.[name];
    if (typeof entry?.file !== "string" || typeof entry.sha256 !== "string" || typeof entry.bytes !== "number") {
      throw new FerError(`model/site.json does not name the ${name}'s file, sha256 and bytes: ${REBUILD}.`);
    }
  }
  return site as Site;
}

/** The bytes of one of the site's files. Throws a FerError for a file that is absent, cut short or another one. */
export async function loadFile({ file, sha256, bytes }: SiteFile, base: string): Promise<Uint8Array<ArrayBuffer>> {
  // The hash in the address lets a browser keep the file for good, and a new one never meets an old one's copy.
  const response = await get(new URL(`model/${file}?${sha256.slice(0, 16)}`, base), `model/${file}`);
  const data = new Uint8Array(await response.arrayBuffer());
  if (data.length !== bytes) {
    throw new FerError(`model/${file} is damaged: expected ${bytes} bytes, found ${data.length}; copy it again, or ${REBUILD}.`);
  }
  if (globalThis.crypto?.subtle && (await digest(data)) !== sha256) { // absent where an address is neither https nor loopback
    throw new FerError(`model/${file} is not the file that model/site.json describes: ${REBUILD}.`);
  }
  return data;
}

async function get(address: URL, name: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, { credentials: "same-origin" });
  } catch {
    throw new FerError(`${name} cannot be loaded: check the connection and reload the page.`);
  }
  if (!response.ok) throw new FerError(`${name} is not beside this page (status ${response.status}): ${REBUILD}.`);
  return response;
}

async function digest(data: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
