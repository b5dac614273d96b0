/** What each kind of drill does, in the words of the page. Pure. */
import type { Drill } from './api-types.ts';

type Kind = Drill['kind'];

export const drillWords: Readonly<Record<Kind, string>> = {
  'node-loss': 'Kills one storage node while writes go on, and starts it again.',
  'az-loss': 'Kills both storage nodes of one zone while writes go on.',
  'writer-loss': 'Kills the gateway that writes. Its supervisor starts it again.',
  'agent-loss': 'Kills the agent that ships. SQL goes on, and replication resumes.',
  'nats-loss': 'Kills the NATS server of the primary region.',
  'slow-disk': 'Makes each flush of one storage node take longer.',
  'slow-link': 'Delays every byte between one region and the others.',
  switchover: 'Moves the primary to another region and back. No request may fail.',
  partition: 'Cuts a region off from the others, and joins it again.',
  'region-freeze': 'Stops every process of a region, fails over, and lets the old side wake up again.',
  'region-loss': 'Kills a whole region, fails over, takes the region back, and moves back.',
};

export const drillKinds = Object.keys(drillWords) as readonly Kind[];

/** Phases of a drill as words. */
export const spaced = (name: string): string => name.replaceAll('-', ' ');
