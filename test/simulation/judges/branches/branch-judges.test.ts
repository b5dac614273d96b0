import { describe, expect, it } from 'vitest';
import { epoch, lsn } from '../../../../storage/redo/ids.ts';
import { HeldJudge } from './held.ts';
import { SealsJudge } from './seals.ts';

describe('the judge of seals objects when', () => {
  const told = (): SealsJudge => {
    const judge = new SealsJudge();
    for (const one of [1, 4]) judge.allotted(epoch(one), 'main');
    for (const one of [2, 3]) judge.allotted(epoch(one), 'dev of epoch 2');
    judge.allotted(epoch(5), 'dev of epoch 5');
    return judge;
  };
  const fenced = (reign: number, by: number, sealing?: number): readonly string[] => {
    const judge = told();
    if (sealing !== undefined) judge.sealing(epoch(sealing));
    judge.reignFenced(epoch(reign), epoch(by), 7);
    return judge.violations();
  };

  it('a reign is fenced by an epoch of another line, also of one that had its name', () => {
    expect(fenced(1, 4)).toEqual([]);
    expect(fenced(2, 3)).toEqual([]);
    expect(fenced(1, 3)).toEqual(['epoch 1 of main was fenced by epoch 3 of dev of epoch 2 at 7 us']);
    expect(fenced(3, 4)).toHaveLength(1);
    expect(fenced(3, 5)).toHaveLength(1);
  });

  it('it is fenced by an epoch that nobody was given, unless somebody had asked to seal main for it', () => {
    expect(fenced(4, 6)).toHaveLength(1);
    expect(fenced(4, 6, 6)).toEqual([]);
    expect(fenced(4, 5, 5)).toEqual([]);
    expect(fenced(3, 6, 6)).toHaveLength(1);
  });
});

describe('the judge of branches objects when', () => {
  const what = { region: 'eu-west-1', branch: 'dev of epoch 2', head: epoch(3), vdl: lsn(70) };

  it('a region has a branch on fewer than four disks, not counting those that a fault destroyed', () => {
    const judge = new HeldJudge();
    judge.held({ ...what, complete: 4, destroyed: 0 });
    judge.held({ ...what, complete: 3, destroyed: 1 });
    expect(judge.violations()).toEqual([]);
    judge.held({ ...what, complete: 3, destroyed: 0 });
    expect(judge.violations()).toEqual([
      'eu-west-1 lacks the branch dev of epoch 2 long after healing: 3 of six disks have epoch 3 up to 70',
    ]);
  });

  it('a branch that is written is never answered again', () => {
    const judge = new HeldJudge();
    judge.silent('dev of epoch 2');
    expect(judge.violations()).toEqual([
      'no write to the branch dev of epoch 2 was acknowledged after healing',
    ]);
  });
});
