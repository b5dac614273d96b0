/**
 * The order of test files: those that take longest come first, so that none of them is left over at the end with one core idle.
 * Vitest knows how long a file took from its last run; a clean checkout has had none.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** By folder or file below `test/`, longest first; everything else comes after. */
const long: readonly string[] = [
  'simulation/suites/',
  'regions/local/',
  'regions/deploy/',
  'gateway/session/',
  'gateway/forward/',
  'oracle/',
];

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = long.findIndex((place) => moduleId.includes(`/test/${place}`));
      return at < 0 ? long.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
