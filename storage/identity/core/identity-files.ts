/** Where a process finds its certificate in a directory that holds several. */
import type { Identity } from './identity.ts';

/** Names of a process's three files. */
export const fileNames = { ca: 'ca.pem', cert: 'cert.pem', key: 'key.pem' } as const;

/** The directory of a process's three files, below that of its authority. All of it goes to the process's machine. */
export function directoryOf({ region, role, name }: Omit<Identity, 'cluster'>): string {
  return `${region}/${role}/${name}`;
}
