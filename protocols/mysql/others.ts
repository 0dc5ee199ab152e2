/** The commands that carry no statement: how each is answered, what it changes, and how a record shows it. */
import { decodeLossy, encodeText } from '../bytes.ts'
import type { Payload } from '../events.ts'
import type { AnswerKind } from './answer.ts'
import type { Command } from './commands.ts'
import type { Effect } from './session.ts'

type Texts = 'query' | 'prepare' | 'execute' | 'fetch' | 'long-data' | 'close'
type Special = 'process-kill' | 'quit' | 'change-user' | 'denied' | 'unknown'

/** Those that pass as they are, one answer each. */
export type Other = Exclude<Command, { type: Texts | Special }>

export const KINDS: Record<Other['type'], AnswerKind> = {
  'init-db': 'ok',
  'create-db': 'ok',
  'drop-db': 'ok',
  'field-list': 'columns',
  'set-option': 'ok',
  'reset-statement': 'ok',
  'reset-connection': 'ok',
  statistics: 'text',
  'process-info': 'results',
  ping: 'ok',
}

/** What its OK makes true. */
export function effectOf(command: Other): Effect | undefined {
  if (command.type === 'init-db') return { type: 'set', database: decodeLossy(command.name) }
  return command.type === 'reset-connection' ? { type: 'renewed' } : undefined
}

/** How a command without a text is shown: its name in MySQL's documentation, and what it is about. */
export function describeCommand(command: Command): Payload {
  switch (command.type) {
    case 'init-db':
    case 'create-db':
    case 'drop-db':
      return named(COMMAND_NAMES[command.type], decodeLossy(command.name))
    case 'field-list':
      return named('COM_FIELD_LIST', `${decodeLossy(command.table)} ${decodeLossy(command.wildcard)}`.trim())
    case 'set-option':
      return named('COM_SET_OPTION', String(command.option))
    case 'reset-statement':
      return named('COM_STMT_RESET', String(command.statement))
    case 'process-kill':
      return named('COM_PROCESS_KILL', String(command.thread))
    case 'long-data':
      return named('COM_STMT_SEND_LONG_DATA', `${command.statement} ${command.param}`)
    case 'change-user':
      return named('COM_CHANGE_USER', `${command.user} ${command.database ?? ''}`.trim())
    case 'denied':
      return named(command.name)
    case 'unknown':
      return named(`command 0x${command.code.toString(16)}`)
    case 'statistics':
      return named('COM_STATISTICS')
    case 'process-info':
      return named('COM_PROCESS_INFO')
    case 'reset-connection':
      return named('COM_RESET_CONNECTION')
    default:
      return named(`COM_${command.type.toUpperCase()}`)
  }
}

const COMMAND_NAMES = {
  'init-db': 'COM_INIT_DB',
  'create-db': 'COM_CREATE_DB',
  'drop-db': 'COM_DROP_DB',
} as const

export function named(name: string, about = ''): Payload {
  return { type: 'cmd', body: encodeText(about === '' ? name : `${name} ${about}`), repeats: true }
}
