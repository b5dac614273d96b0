/** The thread of `page-files.ts`. Node.js takes the types out of modules as it does for its own. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parentPort } from 'node:worker_threads';

interface Asset {
  readonly name: string;
  readonly contentType: string;
  readonly text: string;
}

const page = fileURLToPath(new URL('page/', import.meta.url));
const script = 'text/javascript; charset=utf-8';
const style = 'text/css; charset=utf-8';
const read = (path: string): string => readFileSync(path, 'utf8');
const fromPackage = (path: string): string => read(fileURLToPath(import.meta.resolve(path)));

/** A browser knows no packages: the one that the page imports lies beside its folders. */
function forBrowsers(text: string, depth: number): string {
  const uplot = JSON.stringify(`${'../'.repeat(depth)}uplot.js`);
  return stripTypeScriptTypes(text).replace("from 'uplot'", `from ${uplot}`);
}

function asset(name: string): Asset | null {
  if (name.endsWith('.css')) return { name, contentType: style, text: read(page + name) };
  if (name.endsWith('.svg')) return { name, contentType: 'image/svg+xml', text: read(page + name) };
  if (!name.endsWith('.ts') || name.endsWith('.d.ts')) return null;
  const text = forBrowsers(read(page + name), name.split('/').length - 1);
  return { name, contentType: script, text };
}

const names = readdirSync(page, { recursive: true, encoding: 'utf8' }).sort();
const own = names.map(asset).filter((file) => file !== null);
const uplot = [
  { name: 'uplot.js', contentType: script, text: fromPackage('uplot/dist/uPlot.esm.js') },
  { name: 'uplot.css', contentType: style, text: fromPackage('uplot/dist/uPlot.min.css') },
];
const assets = [...own, ...uplot];
const index = read(`${page}index.html`);
const hash = createHash('sha256').update(index);
for (const { name, text } of assets) hash.update(`\0${name}\0${text}`);
const version = hash.digest('hex').slice(0, 16);
parentPort?.postMessage({ version, index: index.replaceAll('{version}', version), assets });
