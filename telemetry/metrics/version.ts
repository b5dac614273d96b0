/** The version of Sextant that this process runs: that of the package, and of nothing else. */
import manifest from '../../package.json' with { type: 'json' };

/** Such as `0.1.0`. */
export const sextantVersion: string = manifest.version;
