#!/usr/bin/env node
/**
 * The `sextant` command. Plain JavaScript that imports nothing of ours before the Node.js version is known to fit: one before
 * 22.18 cannot read TypeScript at all. An older one hands over to the Node.js that `npm ci` brings along (the dependency
 * `node`), or ends in one clear sentence. Installed as a package it runs the JavaScript in `dist`, since Node.js strips no
 * types below `node_modules`.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

/** From here on a program can be told at run time whom to trust (`setDefaultCACertificates`). */
const nodeMin = [24, 5];

const [major, minor] = process.versions.node.split('.').map(Number);
if (major > nodeMin[0] || (major === nodeMin[0] && minor >= nodeMin[1])) {
  // What Node.js has compiled is kept for the next start, which takes half the time then: beside the code, so that only who may
  // change the code may change it. Where that cannot be written, nothing is kept.
  process.env.NODE_COMPILE_CACHE ??= fileURLToPath(
    new URL('../../node_modules/.cache/compiled', import.meta.url),
  );
  module.enableCompileCache(process.env.NODE_COMPILE_CACHE);
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
