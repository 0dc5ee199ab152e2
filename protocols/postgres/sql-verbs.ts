/** What each kind of PostgreSQL statement is called in policies: node names of its parser -> verbs. */
import type { Verb } from '../statement-facts.ts'

export type Tree = Readonly<Record<string, unknown>>

/** Statements whose verb stands fixed. What is in neither table is judged by its first word below. */
const FIXED: Readonly<Record<string, Verb>> = {
  InsertStmt: 'INSERT',
  UpdateStmt: 'UPDATE',
  DeleteStmt: 'DELETE',
  MergeStmt: 'MERGE',
  TruncateStmt: 'TRUNCATE',
  LockStmt: 'LOCK',
  CallStmt: 'CALL',
  DoStmt: 'DO',
  ExplainStmt: 'EXPLAIN',
  VariableShowStmt: 'SHOW',
  ViewStmt: 'CREATE',
  IndexStmt: 'CREATE',
  RuleStmt: 'CREATE',
  DefineStmt: 'CREATE',
  CompositeTypeStmt: 'CREATE',
  DropOwnedStmt: 'DROP',
  ReassignOwnedStmt: 'ALTER',
  SecLabelStmt: 'ALTER',
  CommentStmt: 'COMMENT',
  RefreshMatViewStmt: 'REFRESH',
  ReindexStmt: 'REINDEX',
  ClusterStmt: 'CLUSTER',
  ImportForeignSchemaStmt: 'IMPORT',
  CreateRoleStmt: 'CREATE ROLE',
  AlterRoleStmt: 'ALTER ROLE',
  AlterRoleSetStmt: 'ALTER ROLE',
  DropRoleStmt: 'DROP ROLE',
  AlterDefaultPrivilegesStmt: 'GRANT',
  ReplicaIdentityStmt: 'ALTER',
  AlterSystemStmt: 'ALTER SYSTEM',
  CheckPointStmt: 'CHECKPOINT',
  LoadStmt: 'LOAD',
  NotifyStmt: 'NOTIFY',
  ListenStmt: 'LISTEN',
  UnlistenStmt: 'UNLISTEN',
  DiscardStmt: 'DISCARD',
  ConstraintsSetStmt: 'SET',
  PrepareStmt: 'PREPARE',
  ExecuteStmt: 'EXECUTE',
  DeallocateStmt: 'DEALLOCATE',
  DeclareCursorStmt: 'DECLARE',
  FetchStmt: 'FETCH',
  ClosePortalStmt: 'CLOSE',
}

/** `TRANS_STMT_…`; the two-phase ones end a transaction like their plain sisters. */
const TRANSACTION: readonly (readonly [RegExp, Verb])[] = [
  [/BEGIN|START/, 'BEGIN'],
  [/ROLLBACK/, 'ROLLBACK'],
  [/COMMIT|PREPARE/, 'COMMIT'],
  [/SAVEPOINT/, 'SAVEPOINT'],
  [/RELEASE/, 'RELEASE'],
]

/** The statement's own verb first. A node that a newer parser invents is `unknown`. */
export function verbsOf(name: string, body: Tree): readonly [Verb, ...Verb[]] {
  switch (name) {
    case 'CopyStmt': {
      const direction = body['is_from'] === true ? 'COPY FROM' : 'COPY TO'
      if (body['is_program'] === true) return [direction, 'COPY PROGRAM']
      return body['filename'] === undefined ? [direction] : [direction, 'COPY FILE']
    }
    case 'TransactionStmt':
      return [TRANSACTION.find(([kind]) => kind.test(String(body['kind'])))?.[1] ?? 'unknown']
    case 'VariableSetStmt':
      if (String(body['kind']).startsWith('VAR_RESET')) return ['RESET']
      return [isRole(String(body['name'])) ? 'SET ROLE' : 'SET']
    case 'GrantStmt':
    case 'GrantRoleStmt':
      return [body['is_grant'] === true ? 'GRANT' : 'REVOKE']
    case 'VacuumStmt':
      return [body['is_vacuumcmd'] === true ? 'VACUUM' : 'ANALYZE']
    case 'RenameStmt':
      return [body['renameType'] === 'OBJECT_ROLE' ? 'ALTER ROLE' : 'ALTER']
    default:
      return [FIXED[name] ?? byFirstWord(name)]
  }
}

function byFirstWord(name: string): Verb {
  if (name.startsWith('Create')) return 'CREATE'
  if (name.startsWith('Alter')) return 'ALTER'
  return name.startsWith('Drop') ? 'DROP' : 'unknown'
}

/** Settings by which a session acts as somebody else. */
export function isRole(setting: string): boolean {
  return /^(role|session_authorization)$/i.test(setting)
}

/** Settings that keep a transaction from writing. */
export function isReadOnlySetting(setting: string): boolean {
  return /^(default_)?transaction_read_only$/i.test(setting)
}

/**
 * PostgreSQL's own functions, and those of its usual extensions, that write, lock others out, run a text they are
 * given, or reach the server's files, settings and other sessions.
 */
export function isEffectful(functionName: string): boolean {
  return EFFECTFUL.test(functionName)
}

const EFFECTFUL = new RegExp(
  `^(${[
    'nextval|setval|lo_.*|lowrite|dblink.*|ts_stat|ts_rewrite|crosstab.*|connectby|xpath_table',
    '(query|cursor|table|schema|database)_to_xml.*',
    'pg_(read|ls|file|logdir|current_logfile|hba|ident_file)_.*|pg_stat_file|pg_current_logfile',
    'pg_(terminate|cancel)_backend|pg_(reload|rotate|switch|promote|notify|backup|start_backup|stop_backup).*',
    'pg_(create|drop|copy|sync|advance|replication|logical|wal_replay|log_backend|log_standby|export)_.*',
    'pg_stat_(reset|clear|statements_reset|force).*|pg_(restore|clear)_.*|pg_import_.*|pg_prewarm|pg_extension_config_dump',
    'brin_.*|gin_clean_pending_list|txid_current|pg_current_xact_id|pg_nextoid|binary_upgrade_.*|pg_set_.*',
  ].join('|')})$`,
)
