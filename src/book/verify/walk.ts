/**
 * Checks a book given only its bytes and its first public key (FORMAT.md, "Verification"). One walk in the order
 * of the records: bytes, chain, tree, checkpoints, sessions, payloads. It does not stop at the first finding,
 * and what it holds does not grow with the number of records, only with that of sessions.
 */
import type { Vkey } from '../checkpoint.ts'
import { BUNDLE_LEAVES_MAX, encodeBase64, FormatError, type Leaf, parseLeaf } from '../format.ts'
import { HASH_BYTES, leafHash, sameHash, TILE_HASHES } from '../tree.ts'
import { Authority } from './authority.ts'
import { Checkpoints, type OutsideCheckpoint } from './checkpoints.ts'
import { Epochs } from './epochs.ts'
import { KeptLeaves } from './kept.ts'
import { listLimits, Spans, time } from './limits.ts'
import { PayloadCheck } from './payloads.ts'
import { Findings, type Report } from './report.ts'
import { Sessions } from './sessions.ts'
import { type Commit, type Source, SourceError } from './source.ts'
import { Trunk } from './trunk.ts'

export interface VerifyOptions {
  readonly key: Vkey
  /** Whether the key was kept elsewhere, or found beside the book. */
  readonly keyFromOutside: boolean
  readonly outside: readonly OutsideCheckpoint[]
  /** Leaves below this index are taken by their stored hashes. */
  readonly from?: number
  /** No operation may be open at the end. */
  readonly closed?: boolean
  /** Microseconds: the longest silence between two records, and the age of the last. */
  readonly maxGap?: number | undefined
  readonly maxAge?: number | undefined
  /** Microseconds since 1970. */
  readonly now: number
  /** Whether SQLite has checked the file by its own means. */
  readonly integrityChecked: boolean
  /** What SQLite found wrong then. */
  readonly damage?: readonly string[]
  readonly progress?: (size: number) => void
}

export function verifyBook(source: Source, options: VerifyOptions): Report {
  return new Walk(source, options).run()
}

class Walk {
  readonly #source: Source
  readonly #options: VerifyOptions
  readonly #findings = new Findings()
  readonly #authority = new Authority()
  readonly #spans = new Spans()
  readonly #kept: KeptLeaves
  readonly #trunk: Trunk
  readonly #epochs: Epochs
  readonly #checkpoints: Checkpoints
  readonly #payloads: PayloadCheck
  readonly #sessions: Sessions
  /** The first record whose leaf is read, and what was asked for. */
  readonly #start: number
  readonly #from: number
  #begun = false
  /** Hash of the record before the next; undefined where nothing is left of it. */
  #previous: Uint8Array | undefined = new Uint8Array(HASH_BYTES)
  #ts: number | undefined
  #open: ReturnType<Sessions['finish']> = { count: 0, shown: [] }

  constructor(source: Source, options: VerifyOptions) {
    const findings = this.#findings
    this.#source = source
    this.#options = options
    this.#from = Math.floor(Math.min(options.from ?? 0, source.end) / TILE_HASHES) * TILE_HASHES
    this.#start = Math.max(this.#from, source.first)
    this.#kept = new KeptLeaves(findings)
    this.#trunk = new Trunk(source, findings)
    this.#epochs = new Epochs(options.key)
    this.#checkpoints = new Checkpoints(options.key.name, this.#epochs, findings)
    this.#payloads = new PayloadCheck(source.payloads, this.#authority, findings)
    this.#sessions = new Sessions(findings, this.#payloads, this.#from > source.first)
  }

  run(): Report {
    let error: string | undefined
    try {
      this.#walk()
    } catch (cause) {
      if (!(cause instanceof SourceError)) throw cause
      if (cause.code === 'damaged') this.#findings.add('sqlite', this.#trunk.size, cause.message)
      else error = cause.message
    }
    return this.#report(error)
  }

  #walk(): void {
    const { first } = this.#source
    for (const text of this.#options.damage ?? []) this.#findings.add('sqlite', undefined, text)
    this.#authority.read(this.#source)
    this.#epochs.learn(this.#authority.named)
    this.#checkpoints.start(this.#source, this.#options.outside)
    this.#kept.start(this.#source.kept())
    if (first > 0 && this.#authority.prunes(first) === undefined) {
      this.#findings.add('prune', 0, `the records below ${first} are gone, and no record lets them be`)
    }
    this.#judgeCheckpoints()
    this.#takeStored(this.#start)
    for (const commit of this.#source.commits(this.#start)) {
      this.#takeCommit(commit)
      this.#options.progress?.(this.#trunk.size)
    }
    const { size } = this.#trunk
    this.#trunk.finish()
    this.#kept.finish(size)
    this.#checkpoints.finish(size)
    this.#open = this.#sessions.finish(this.#options.closed === true)
    this.#payloads.finish((sid) => this.#sessions.isWhole(sid))
    this.#judgeAge()
  }

  #takeCommit(commit: Commit): void {
    const { first, count } = commit
    if (!(Number.isSafeInteger(first + count) && first >= 0 && count >= 1 && count <= BUNDLE_LEAVES_MAX)) {
      this.#findings.add('format', this.#trunk.size, `a commit of ${count} records from ${first} on`)
      return
    }
    const { size } = this.#trunk
    if (first > size) {
      this.#findings.add('gap', size, `records ${size} to ${first - 1} are not there`)
      this.#takeStored(first)
    }
    // Only the first commit may begin earlier: it holds the record that the walk begins with.
    if (first < size && this.#begun) this.#findings.add('gap', first, `a second record ${first} is there`)
    this.#begun = true
    const leaves = this.#leavesOf(commit)
    if (leaves === undefined) this.#takeStored(first + count)
    leaves?.forEach((bytes, at) => {
      if (first + at >= this.#trunk.size) this.#takeLeaf(first + at, bytes)
    })
  }

  #leavesOf(commit: Commit): readonly Uint8Array[] | undefined {
    try {
      return commit.leaves()
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause
      this.#findings.add(
        'format',
        commit.first,
        `the commit from record ${commit.first} on: ${cause.message}`,
      )
      return undefined
    }
  }

  /** Takes the records up to `end` by their stored hashes, and what is kept of them by its bytes. */
  #takeStored(end: number): void {
    this.#trunk.appendStored(end, (index, hash) => {
      const bytes =
        this.#kept.at(index) ?? (index < this.#from ? this.#authority.keyLeaves.get(index) : undefined)
      if (bytes !== undefined) this.#takeKept(index, bytes, hash)
      this.#previous = hash
      this.#judgeCheckpoints()
    })
    if (this.#trunk.root() === undefined) this.#previous = undefined
    this.#judgeCheckpoints()
  }

  #takeKept(index: number, bytes: Uint8Array, hash: Uint8Array): void {
    if (!sameHash(leafHash(bytes), hash)) {
      this.#findings.add(
        'prune',
        index,
        `the leaf kept as record ${index} is not the one whose hash is there`,
      )
    }
    const leaf = this.#parse(index, bytes)
    if (leaf === undefined) return
    this.#judgePlace(leaf, index)
    this.#sessions.keep(leaf, index)
    this.#announce(leaf, index)
  }

  #takeLeaf(index: number, bytes: Uint8Array): void {
    const hash = leafHash(bytes)
    const kept = this.#kept.at(index)
    if (kept !== undefined && !sameHash(leafHash(kept), hash)) {
      this.#findings.add(
        'prune',
        index,
        `the leaf kept as record ${index} is not the one that is still there`,
      )
    }
    const leaf = this.#parse(index, bytes)
    this.#trunk.append(hash)
    if (leaf !== undefined) {
      this.#judgePlace(leaf, index)
      this.#judgeTime(leaf, index)
      this.#sessions.see(leaf, index)
      this.#spans.see(leaf)
      this.#announce(leaf, index)
    }
    this.#previous = hash
    this.#judgeCheckpoints()
  }

  #parse(index: number, bytes: Uint8Array): Leaf | undefined {
    try {
      return parseLeaf(bytes)
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause
      this.#findings.add(cause.code, index, `record ${index}: ${cause.message}`)
      return undefined
    }
  }

  #judgePlace({ seq, log, prev }: Leaf, index: number): void {
    if (seq !== index) this.#findings.add('seq', index, `record ${index} calls itself ${seq}`)
    if (log !== this.#options.key.name) this.#findings.add('origin', index, `record ${index} is of ${log}`)
    if (this.#previous !== undefined && prev !== encodeBase64(this.#previous)) {
      const text = `record ${index} follows another record ${index - 1} than the one that is there`
      this.#findings.add('chain', Math.max(0, index - 1), text)
    }
  }

  #judgeTime({ ts }: Leaf, index: number): void {
    const { maxGap } = this.#options
    if (this.#ts !== undefined) {
      if (ts < this.#ts) this.#findings.add('time', index, `record ${index} is older than the one before it`)
      if (maxGap !== undefined && ts - this.#ts > maxGap) {
        this.#findings.add(
          'silence',
          index,
          `nothing was recorded from ${time(this.#ts)} to ${time(ts)}, record ${index}`,
        )
      }
    }
    this.#ts = ts
  }

  #judgeAge(): void {
    const { maxAge, now } = this.#options
    if (maxAge !== undefined && now - (this.#ts ?? 0) > maxAge) {
      this.#findings.add('stale', undefined, `the last record is of ${time(this.#ts)}`)
    }
  }

  #announce({ next }: Leaf, index: number): void {
    if (next !== undefined && !this.#epochs.announce(next)) {
      this.#findings.add('epoch', index, `record ${index} names a key that cannot sign here`)
    }
  }

  #judgeCheckpoints(): void {
    const { size } = this.#trunk
    if (this.#checkpoints.isDue(size))
      this.#checkpoints.at({ size, root: () => this.#trunk.root(), ts: this.#ts })
  }

  #report(error: string | undefined): Report {
    const { first, payloads } = this.#source
    const { size } = this.#trunk
    const erased = this.#payloads.erased
    return {
      origin: this.#options.key.name,
      size,
      first: Math.min(this.#start, size),
      checkpoints: this.#checkpoints.counts,
      keys: this.#epochs.keys,
      payloads: {
        checked: this.#payloads.checked,
        bytes: this.#payloads.bytes,
        erased: [...erased.values()].reduce((sum, count) => sum + count, 0),
      },
      sessions: { opened: this.#sessions.opened, open: this.#sessions.open },
      firstBroken: this.#findings.firstBroken,
      lastGood: this.#checkpoints.lastGood,
      findings: this.#findings.list,
      counts: this.#findings.counts,
      error,
      limits: listLimits({
        size,
        keyFromOutside: this.#options.keyFromOutside,
        newestOutside: this.#checkpoints.newestOutside,
        open: this.#open,
        stopped: this.#sessions.stopped,
        integrityChecked: this.#options.integrityChecked,
        from: this.#from,
        pruned: first > 0 ? { below: first, by: this.#authority.prunes(first) } : undefined,
        erased,
        undeleted: this.#payloads.undeleted,
        unjudged: this.#payloads.unjudged,
        hasPayloads: payloads !== undefined,
        spans: this.#spans,
      }),
    }
  }
}
