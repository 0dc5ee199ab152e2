/** The way to a host that lies behind others: each hop logs in and opens the stream on which the next one does. */
import { HostConnection, HostError, type Wire } from './host.ts'
import type { HostOptions } from './host-options.ts'
import type { HostEvent } from './steps.ts'

export interface Hop {
  readonly address: { readonly host: string; readonly port: number }
  readonly options: HostOptions
}

/** `stream` leads to the first hop; `tell` and `lost` are of the last one, which is what is meant. */
export async function openHost(
  stream: Wire,
  hops: readonly Hop[],
  tell: (event: HostEvent) => void,
  lost: (message: string) => void,
): Promise<HostConnection> {
  const [hop, next, ...further] = hops
  if (hop === undefined) throw new HostError('unreachable', 'no way leads there')
  if (next === undefined) return HostConnection.open(stream, hop.options, tell, lost)
  const passed = await HostConnection.open(stream, hop.options, ignore, ignore)
  try {
    const onward = await passed.streamTo(next.address)
    // What leads further lives as long as what is reached through it.
    onward.once('close', () => passed.end())
    return await openHost(onward, [next, ...further], tell, lost)
  } catch (error) {
    passed.end()
    throw error
  }
}

function ignore(): void {}
