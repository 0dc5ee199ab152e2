/**
 * What somebody may read of the book. Whoever has none reads their own sessions, and nothing else. Rights bind what
 * may be searched by, counted and completed as well as what is shown: nobody learns by searching what they may not see.
 */

import type { Config, Role, Target } from '../config/schema.ts'
import { isList, labelsMatch } from '../config/selectors.ts'

/** Targets with this label are opened for a reason only. */
export const SENSITIVE = { data: 'pii' } as const

/** Names of targets, with `*` as wildcard. */
export type Targets = readonly string[]

export interface Rights {
  /** Everything, of targets that are gone too, and the gateway's own records: logins, configuration, tokens. */
  readonly all: boolean
  /** Of these: who did something where and when, with what outcome; not what. */
  readonly metadata: Targets
  /** Of these: statements, commands, paths, parameters. */
  readonly content: Targets
  /** Of these: what terminals and programs showed. */
  readonly replay: Targets
  /** May check the whole book and take its checkpoints. */
  readonly verify: boolean
  /** May end sessions of others. */
  readonly end: boolean
  /** Targets that are opened for a reason only. */
  readonly sensitive: Targets
}

export const OWN_SESSIONS_ONLY: Rights = {
  all: false,
  metadata: [],
  content: [],
  replay: [],
  verify: false,
  end: false,
  sensitive: [],
}

/** What a person may read now, by the grants that name them or one of their groups. */
export function readingRights(
  config: Config,
  { user, groups }: { readonly user: string; readonly groups: readonly string[] },
  now: number,
): Rights {
  const { grants, roles, targets } = config
  const rights = { ...OWN_SESSIONS_ONLY, sensitive: sensitiveTargets(config) }
  const add = { metadata: [] as string[], content: [] as string[], replay: [] as string[] }
  let { all, verify } = rights
  for (const grant of grants) {
    const named = grant.user === user || (grant.group !== undefined && groups.includes(grant.group))
    const read = roles.get(grant.role)?.read
    if (!named || read === undefined || (grant.expires !== undefined && grant.expires <= now)) continue
    const names = selected(read.targets, targets)
    add.metadata.push(...names)
    if (read.see !== 'metadata') add.content.push(...names)
    if (read.see === 'replay') add.replay.push(...names)
    all ||= read.admin
    verify ||= read.verify
  }
  return { ...rights, ...add, all, verify, end: all }
}

/** An operator on the gateway itself, who reaches its control socket. */
export function localRights(config: Config): Rights {
  const rights = { ...OWN_SESSIONS_ONLY, sensitive: sensitiveTargets(config) }
  return { ...rights, all: true, verify: true, end: true }
}

/** Labels of the targets, for `label.…:` in searches. */
export function labelsOf({ targets }: Config): Record<string, Readonly<Record<string, string>>> {
  return Object.fromEntries([...targets].map(([name, { labels }]) => [name, labels]))
}

function sensitiveTargets({ targets }: Config): string[] {
  return [...targets].filter(([, { labels }]) => labelsMatch(SENSITIVE, labels)).map(([name]) => name)
}

/** Names stay patterns, which reach targets that are gone; labels are those of the targets that are there. */
function selected(selector: Role['targets'], targets: ReadonlyMap<string, Target>): readonly string[] {
  if (isList(selector)) return selector
  return [...targets].filter(([, { labels }]) => labelsMatch(selector, labels)).map(([name]) => name)
}
