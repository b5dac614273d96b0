/** Which metrics and labels a PromQL expression names: enough of its grammar to hold rules and panels to the table of metrics. */

/** One `label="value"` of a selector. */
export interface Matcher {
  readonly metric: string;
  readonly label: string;
  readonly operator: string;
  readonly value: string;
}

export interface Names {
  readonly metrics: readonly string[];
  readonly matchers: readonly Matcher[];
  /** In `by (…)`, `on (…)` and their like. */
  readonly groupedBy: readonly string[];
}

const keywords = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan']);
const groupings = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;
const selectors = /([a-z_:][\w:]*)\s*\{([^}]*)\}/gi;
const matcherPattern = /(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g;
const list = (text: string): readonly string[] => text.split(',').flatMap((one) => one.trim() || []);

/** @throws Error when brackets do not match. */
export function namesIn(expression: string): Names {
  if (!isBalanced(expression)) throw new Error(`brackets do not match: ${expression}`);
  const matchers: Matcher[] = [];
  const groupedBy: string[] = [];
  const rest = expression
    .replace(selectors, (_, metric: string, inside: string) => {
      for (const [, label = '', operator = '', value = ''] of inside.matchAll(matcherPattern))
        matchers.push({ metric, label, operator, value });
      return metric;
    })
    .replace(groupings, (_, inside: string) => {
      groupedBy.push(...list(inside));
      return ' ';
    })
    .replace(/\[[^\]]*\]/g, ' ')
    .replace(/"(?:[^"\\]|\\.)*"/g, ' ');
  const metrics = [...rest.matchAll(/(?<![\w.])([a-z_:][\w:]*)(?!\w)(?!\s*\()/gi)]
    .map(([, name = '']) => name)
    .filter((name) => !keywords.has(name.toLowerCase()));
  return { metrics: [...new Set(metrics)], matchers, groupedBy };
}

function isBalanced(expression: string): boolean {
  const closing: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };
  const open: string[] = [];
  for (const letter of expression.replace(/"(?:[^"\\]|\\.)*"/g, '')) {
    const end = closing[letter];
    if (end !== undefined) open.push(end);
    else if (Object.values(closing).includes(letter) && open.pop() !== letter) return false;
  }
  return open.length === 0;
}
