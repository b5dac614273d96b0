/**
 * Makes `dist/`, what `npm pack` publishes: every layer as plain JavaScript, in the same folders. Run by npm (`prepack`); in a
 * checkout nothing uses it.
 */
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isCarriedAlong, withPlainNames } from './core/plain-module.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const out = join(root, 'dist');
const layers = '{telemetry,storage,regions,gateway}';

function write(path: string, text: string): void {
  mkdirSync(dirname(join(out, path)), { recursive: true });
  writeFileSync(join(out, path), text);
}

rmSync(out, { recursive: true, force: true });
const files = globSync(`${layers}/**/*.*`, { cwd: root });
let modules = 0;
for (const path of files) {
  const isOurs = (name: string): boolean =>
    existsSync(join(root, dirname(path), name)) || (!name.startsWith('.') && existsSync(join(root, name)));
  const text = (): string => readFileSync(join(root, path), 'utf8');
  if (path.endsWith('.ts')) {
    write(path.replace(/\.ts$/, '.js'), withPlainNames(stripTypeScriptTypes(text()), isOurs));
    modules += 1;
  } else if (path.endsWith('.mjs')) write(path, withPlainNames(text(), isOurs));
  else if (isCarriedAlong(path)) {
    mkdirSync(dirname(join(out, path)), { recursive: true });
    cpSync(join(root, path), join(out, path));
  }
}
cpSync(join(root, 'package.json'), join(out, 'package.json'));
console.error(`dist/ holds ${modules} modules`);
