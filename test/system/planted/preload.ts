/** Loaded into every process of a deployment by `--import`: plants the defects that the process can have. */
const [, main = ''] = process.argv;
if (main.endsWith('/gateway/main.ts')) await import('./in-gateway.ts');
if (main.endsWith('/regions/main.ts')) await import('./in-agent.ts');
if (main.endsWith('/storage/main.ts')) await import('./in-storage.ts');
