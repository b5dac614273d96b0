#!/usr/bin/env node
/**
 * The `sextant` command. Plain JavaScript that imports nothing of ours before the Node.js version is known to fit: one before
 * 22.18 cannot read TypeScript at all. An older one hands over to the Node.js that `npm ci` brings along (the dependency
 * `node`), or ends in one clear sentence. Installed as a package it runs the JavaScript in `dist`, since Node.js strips no
 * types below `node_modules`.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Most of what a short command takes is compilation: the next one finds it done. Where nothing can be kept it takes as long again.
 * The processes that a command starts find it done, too: one that has to strip types by itself keeps 20 MiB for that.
 */
function keepCompiled() {
  const { NODE_COMPILE_CACHE, XDG_CACHE_HOME, HOME } = process.env;
  if (NODE_COMPILE_CACHE !== undefined) return;
  let place = XDG_CACHE_HOME || join(HOME || homedir(), '.cache');
  // Made one by one: a home that is not there, or not to be written to, ends it at once.
  for (const name of ['', 'sextant', 'compiled']) {
    place = join(place, name);
    if (existsSync(place)) continue;
    try {
      mkdirSync(place, { mode: 0o700 });
    } catch {
      return;
    }
  }
  const { status } = module.enableCompileCache(place);
  // Where it cannot be used, processes of a local deployment keep one beside their data.
  if (status === module.constants.compileCacheStatus.ENABLED) process.env.NODE_COMPILE_CACHE = place;
}

/** From here on a program can be told at run time whom to trust (`setDefaultCACertificates`). */
const nodeMin = [24, 5];

const [major, minor] = process.versions.node.split('.').map(Number);
if (major > nodeMin[0] || (major === nodeMin[0] && minor >= nodeMin[1])) {
  keepCompiled();
  const places = ['./main.ts', '../../dist/regions/cli/main.js', './main.js'];
  const { main } = await import(places.find((place) => existsSync(new URL(place, import.meta.url))));
  await main(process.argv);
} else {
  // Beside the package, or below it.
  const places = ['../../node_modules/node/bin/node', '../../../node/bin/node'];
  const bundled = places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find(existsSync);
  if (bundled !== undefined) {
    const child = spawn(bundled, process.argv.slice(1), { stdio: 'inherit' });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    child.once('exit', (code) => process.exit(code ?? 1));
  } else {
    console.error(
      `sextant needs Node.js ${nodeMin.join('.')} or newer; this is ${process.versions.node}. ` +
        'Run `npm ci` in its folder (it brings one along) and then `npx sextant`, or install Node.js 24.',
    );
    process.exitCode = 1;
  }
}
