/**
 * Turns a TypeScript module into the JavaScript that runs from `node_modules`, where Node.js strips no types: types become blanks,
 * so that lines and columns stay, and every name of a file of ours ends in `.js`. Pure.
 */
const ourFile = /(['"`])((?:\.{1,2}\/)*[\w-][\w./-]*)\.ts\1/g;

/**
 * @param stripped the module without its types.
 * @param isOurs whether a path, as it is written in the module, names a file of ours: relative to the module or to the root.
 */
export const withPlainNames = (stripped: string, isOurs: (path: string) => boolean): string =>
  stripped.replace(ourFile, (whole, quote: string, path: string) =>
    isOurs(`${path}.ts`) ? `${quote}${path}.js${quote}` : whole,
  );

/** Files of a package other than modules: what is read or served as it is. */
export const isCarriedAlong = (path: string): boolean => !path.endsWith('.ts') && !path.endsWith('.png');
