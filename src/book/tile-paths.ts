/** Where things stand in an export, and the folder it is in. */

import { TILE_HASHES } from './tree.ts'

export const ENTRIES = 'entries'
export const CHECKPOINTS = 'gatebook/checkpoints'
export const KEPT = 'gatebook/kept'
export const PAYLOADS = 'gatebook/payload'

/** Files by their path with `/`, below one folder. */
export interface Folder {
  /** Undefined where there is no such file. */
  read(path: string): Uint8Array | undefined
  write(path: string, bytes: Uint8Array): void
  /** Names in a folder; none where there is no such folder. */
  list(path: string): readonly string[]
}

/** As tlog-tiles has it: the number in groups of three digits, all but the last with an x; partial ones by width. */
export function tilePath(level: string, n: number, width: number): string {
  const groups = [String(n % 1000).padStart(3, '0')]
  for (let rest = Math.floor(n / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    groups.unshift(`x${String(rest % 1000).padStart(3, '0')}`)
  }
  return `tile/${level}/${groups.join('/')}${width < TILE_HASHES ? `.p/${width}` : ''}`
}
