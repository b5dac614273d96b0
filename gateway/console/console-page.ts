/** The files of the console's page, read when somebody first asks for it. */
import { loadPageFiles, type PageFiles } from './page-files.ts';

export interface ConsolePage {
  files(): Promise<PageFiles>;
  /** Changes with what is served; empty until somebody asks for it. */
  version(): string;
}

/** @param load reads the files of the page; asked for once, and again after it failed. */
export function consolePage(load: () => Promise<PageFiles> = loadPageFiles): ConsolePage {
  let known: PageFiles | null = null;
  let loading: Promise<PageFiles> | null = null;
  return {
    files: async () => {
      if (known !== null) return known;
      loading ??= load().finally(() => {
        loading = null;
      });
      known = await loading;
      return known;
    },
    version: () => known?.version ?? '',
  };
}
