/** What of the gateway becomes a metric. */
import type { Gate } from '../gate/gate.ts'
import type { Metric } from './metrics.ts'

export interface FiguresParts {
  readonly gate: Gate
  readonly release: string
  readonly connections: () => readonly { readonly listener: string; readonly count: number }[]
}

export async function figures({ gate, release, connections }: FiguresParts): Promise<readonly Metric[]> {
  const { recorder, live } = gate.parts
  const status = recorder.failure === undefined ? await recorder.status() : undefined
  const { user, system } = process.cpuUsage()
  const byProtocol = new Map<string, number>()
  for (const { protocol } of live.list()) byProtocol.set(protocol, (byProtocol.get(protocol) ?? 0) + 1)
  const gauge = (name: string, help: string, value: number): Metric => ({
    name,
    type: 'gauge',
    help,
    samples: [{ value }],
  })
  return [
    {
      name: 'gatebook_build',
      type: 'info',
      help: 'The release that runs.',
      samples: [{ labels: { release }, value: 1 }],
    },
    {
      name: 'gatebook_sessions',
      type: 'gauge',
      help: 'Sessions open now.',
      samples: [...byProtocol].map(([protocol, value]) => ({ labels: { protocol }, value })),
    },
    {
      name: 'gatebook_connections',
      type: 'gauge',
      help: 'Connections open now, those that have not logged in among them.',
      samples: connections().map(({ listener, count }) => ({ labels: { listener }, value: count })),
    },
    gauge(
      'gatebook_recording',
      '1: everything is recorded. 0: nothing new is let in.',
      recorder.state === 'open' || recorder.state === 'low' ? 1 : 0,
    ),
    gauge('gatebook_draining', '1: no new sessions are taken, open ones may end.', gate.draining ? 1 : 0),
    ...(status === undefined
      ? []
      : [
          {
            name: 'gatebook_book_records',
            type: 'counter',
            help: 'Records in the book.',
            samples: [{ value: status.size }],
          } as const,
          gauge(
            'gatebook_journal_batches',
            'Batches that are in the journal and not yet in the book.',
            status.undrained,
          ),
        ]),
    {
      name: 'process_cpu_seconds',
      type: 'counter',
      help: 'CPU time of all threads.',
      samples: [{ value: (user + system) / 1e6 }],
    },
    gauge('process_resident_memory_bytes', 'Memory that is really in use.', process.memoryUsage.rss()),
  ]
}
