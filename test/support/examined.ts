import { doctor } from '../../src/cli/doctor/doctor.ts'
import type { Installation } from './gateway-process.ts'
import { captureIo } from './io.ts'

/** What `gatebook doctor` says of one target. */
export async function examined(
  { config }: Installation,
  target: string,
): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
  const { io, out } = captureIo()
  const code = await doctor({ config, target }, io)
  return { code, lines: out().trim().split('\n') }
}
