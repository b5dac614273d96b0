/** What a database is called in spans and metrics (`db.namespace`): its parts from the general to the particular. Pure. */
import { type BranchName, mainBranch } from '../../../storage/core.ts';

/** The cluster's name for main, and `cluster|branch` for a branch. */
export const namespaceOf = (cluster: string, branch: BranchName): string =>
  branch === mainBranch ? cluster : `${cluster}|${branch}`;
