/** A process that appends, or replaces a file, until it is killed, and says on its output how much was acknowledged. */
import { writeSync } from 'node:fs';
import { nodeDisk } from '../../storage/log/disk.ts';
import { appendForEver, replaceForEver } from './disk-work.ts';

const [, , work, directory = ''] = process.argv;
const run = work === 'replace' ? replaceForEver : appendForEver;
// Written at once: what waits in memory would be gone with the process.
await run(nodeDisk, directory, (count) => writeSync(1, `${count}\n`));
