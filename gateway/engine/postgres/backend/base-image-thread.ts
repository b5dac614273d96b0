/** Makes a base image in a thread of its own: an engine's thread is to show that it lives meanwhile. */
import { parentPort } from 'node:worker_threads';
import { makeBaseImage } from '../make-base-image.ts';

parentPort?.postMessage(await makeBaseImage());
