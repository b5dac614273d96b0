#!/usr/bin/env node
/** The `sextant` command by its older name, for a Node.js that reads TypeScript; `sextant.mjs` is started by any. */
import './sextant.mjs';
