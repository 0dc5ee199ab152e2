/**
 * A book as a folder of static files: C2SP tlog-tiles, which other programs read, and beside them under `gatebook/`
 * what that specification does not know (FORMAT.md, "Export").
 */
import { encodeEntries } from './format.ts'
import { StoredHashes, sourceHashes } from './hashes.ts'
import { CHECKPOINTS, ENTRIES, type Folder, KEPT, PAYLOADS, tilePath } from './tile-paths.ts'
import { TILE_HASHES } from './tree.ts'
import { type Source, SourceError } from './verify/source.ts'

export interface Exported {
  readonly size: number
  /** The first record that is there with its leaf. */
  readonly first: number
  readonly payloads: number
}

/** Writes what the source holds and judges nothing of it; the export verifies as the book does. */
export function exportTiles(
  source: Source,
  folder: Folder,
  options: { readonly payloads: boolean },
): Exported {
  if (source.head === undefined) throw new SourceError('damaged', 'a book without head cannot be exported')
  writeHashes(source, folder)
  writeEntries(source, folder)
  for (const { size, note } of source.checkpoints()) folder.write(`${CHECKPOINTS}/${size}`, note)
  for (const { seq, leaf } of source.kept()) folder.write(`${KEPT}/${seq}`, leaf)
  const payloads = options.payloads ? writePayloads(source, folder) : 0
  // Last, so that whoever follows the folder finds all that it signs.
  folder.write('checkpoint', source.head)
  return { size: source.end, first: source.first, payloads }
}

function writeHashes(source: Source, folder: Folder): void {
  const hashes = new StoredHashes(sourceHashes(source))
  for (let level = 0, nodes = source.end; nodes > 0; level++, nodes = Math.floor(nodes / TILE_HASHES)) {
    for (let first = 0; first < nodes; first += TILE_HASHES) {
      const width = Math.min(TILE_HASHES, nodes - first)
      folder.write(
        tilePath(String(level), first / TILE_HASHES, width),
        Buffer.concat(hashes.nodes(level, first, width)),
      )
    }
  }
}

/** Bundles of 256 leaves. Of a pruned book the first may be incomplete; its leaves stand among the kept ones. */
function writeEntries(source: Source, folder: Folder): void {
  const start = Math.ceil(source.first / TILE_HASHES) * TILE_HASHES
  let waiting: Uint8Array[] = []
  let index = source.first
  const flush = () => {
    const n = Math.floor((index - 1) / TILE_HASHES)
    if (waiting.length > 0) folder.write(tilePath(ENTRIES, n, waiting.length), encodeEntries(waiting))
    waiting = []
  }
  for (const commit of source.commits(source.first)) {
    for (const leaf of commit.leaves()) {
      if (index < start) folder.write(`${KEPT}/${index}`, leaf)
      else waiting.push(leaf)
      index++
      if (index % TILE_HASHES === 0) flush()
    }
  }
  flush()
}

function writePayloads(source: Source, folder: Folder): number {
  let count = 0
  for (const { sid, i } of source.payloads?.rest() ?? []) {
    const data = source.payloads?.take(sid, i)
    if (data === undefined) continue
    folder.write(`${PAYLOADS}/${sid}/${i}`, data)
    count++
  }
  return count
}
