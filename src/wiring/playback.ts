/** What of a recording may reach a terminal or a text file: for everything outside the SSH room that shows one. */
import { PlaybackFilter, TERMINAL_RESET } from '../../protocols/ssh/index.ts'

export { PlaybackFilter, TERMINAL_RESET }

// biome-ignore lint/suspicious/noControlCharactersInRegex: what begins with it is what goes.
const SEQUENCES = /\u001b(?:\[[0-9;:]*[@-~]|.)/g

/** What is left when all that moves a cursor or colours is gone. */
export function plainText(bytes: Uint8Array): string {
  const filtered = Buffer.from(new PlaybackFilter().push(bytes)).toString('utf8')
  return filtered.replaceAll(SEQUENCES, '').replaceAll('\r\n', '\n')
}
