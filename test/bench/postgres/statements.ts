/** `postgres.statements`: what a transaction costs, by way, script, protocol and number of clients. */
import { closeSync, fdatasyncSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { quantile, type Round } from '../figures.ts'
import { prepareTables, runPgbench } from './pgbench.ts'
import { type Measured, type Place, takeTurns, tell } from './rounds.ts'
import type { System } from './systems.ts'

const SCALE = 20
const CLIENTS = [1, 8, 32, 100]

const SCRIPTS: readonly (readonly [name: string, args: readonly string[]])[] = [
  ['select', ['-S']],
  ['tpcb', []],
]
const PROTOCOLS = ['prepared', 'extended', 'simple']
const WARM_UP = { clients: 8, seconds: 3 }

/** One for each script and protocol: `select-prepared`, `tpcb-simple` and so on. */
export const STATEMENT_PARTS: ReadonlyMap<string, (place: Place) => Promise<void>> = new Map(
  SCRIPTS.flatMap(([script, args]) =>
    PROTOCOLS.map((protocol) => [
      `${script}-${protocol}`,
      (place: Place) => measure(place, `${script}-${protocol}`, [...args, '-M', protocol]),
    ]),
  ),
)

async function measure(place: Place, workload: string, args: readonly string[]): Promise<void> {
  const { bench, quick } = place
  // One of six says enough of whether something has become slower.
  if (quick && workload !== 'select-prepared') return
  prepareTables(bench.direct, quick ? 1 : SCALE)
  const systems = [
    bench.direct,
    await bench.start('haproxy'),
    await bench.start('pgbouncer'),
    await bench.start('gateway-off'),
    await bench.start('gateway-relaxed'),
    await bench.start('gateway-standard'),
    await bench.start('gateway-strict'),
  ]
  const { folder } = bench
  // The engine compiles what runs often; that is paid once and not by a transaction.
  for (const system of systems) await runPgbench(system, { args, ...WARM_UP, folder })
  for (const clients of CLIENTS) {
    const run = (system: System): Promise<Round> =>
      runPgbench(system, { args, clients, seconds: quick ? 1 : 2, folder })
    const measured = await takeTurns(place, systems, run)
    tell(place, { suite: 'postgres', workload, clients }, measured)
    if (clients === 1) tellAdded(place, workload, measured)
  }
  for (const system of systems) await bench.stop(system)
}

/** What waiting for the disk adds for one client, beside the bare call for as many bytes. */
function tellAdded(place: Place, workload: string, measured: readonly Measured[]): void {
  const roundsOf = (name: string): readonly Round[] =>
    measured.find(({ system }) => system === name)?.rounds ?? []
  const relaxed = roundsOf('gateway-relaxed')
  const bare = {
    system: 'bare fdatasync',
    rounds: relaxed.map(() => ({ 'added p50 us': syncMicros(place) })),
  }
  for (const mode of ['gateway-standard', 'gateway-strict']) {
    const rounds = roundsOf(mode).map((round, k) => ({
      'added p50 us': (round['p50 us'] ?? 0) - (relaxed[k]?.['p50 us'] ?? 0),
    }))
    tell(place, { suite: 'postgres', workload, clients: 1 }, [{ system: mode, rounds }, bare], () => [
      'bare fdatasync',
    ])
  }
}

const SECTORS = 2 * 512
const SYNCS = 400

/** Of a batch of one statement into space that is there already. */
function syncMicros({ bench }: Place): number {
  const path = join(bench.folder, 'sync')
  const file = openSync(path, 'w')
  try {
    writeSync(file, Buffer.alloc(SECTORS * SYNCS))
    fdatasyncSync(file)
    const batch = Buffer.alloc(SECTORS, 1)
    const micros: number[] = []
    for (let k = 0; k < SYNCS; k++) {
      const start = performance.now()
      writeSync(file, batch, 0, SECTORS, k * SECTORS)
      fdatasyncSync(file)
      micros.push((performance.now() - start) * 1000)
    }
    return quantile(micros, 0.5)
  } finally {
    closeSync(file)
    unlinkSync(path)
  }
}
