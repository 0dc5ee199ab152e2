/**
 * What a client asks for in its startup packet, and what of it may reach the target. By an allow-list: a setting
 * that nobody has thought about is refused by name, never dropped in silence and never passed in ignorance.
 */

/**
 * Settings that any user may change by SET anyway, and that weaken neither recording nor a read-only session. Not
 * `role`: SET ROLE is a statement that roles and policies decide on.
 */
const ALLOWED: ReadonlySet<string> = new Set(
  `application_name array_nulls backslash_quote bytea_output check_function_bodies client_connection_check_interval
  client_encoding client_min_messages commit_delay constraint_exclusion cpu_index_tuple_cost cpu_operator_cost
  cpu_tuple_cost cursor_tuple_fraction datestyle default_statistics_target default_text_search_config
  default_transaction_deferrable default_transaction_isolation effective_cache_size effective_io_concurrency
  escape_string_warning extra_float_digits from_collapse_limit geqo gin_fuzzy_search_limit hash_mem_multiplier
  idle_in_transaction_session_timeout idle_session_timeout intervalstyle jit join_collapse_limit lc_monetary
  lc_numeric lc_time lock_timeout logical_decoding_work_mem maintenance_work_mem max_parallel_maintenance_workers
  max_parallel_workers max_parallel_workers_per_gather min_parallel_index_scan_size min_parallel_table_scan_size
  parallel_leader_participation parallel_setup_cost parallel_tuple_cost password_encryption plan_cache_mode
  quote_all_identifiers random_page_cost row_security search_path seq_page_cost standard_conforming_strings
  statement_timeout synchronize_seqscans synchronous_commit tcp_keepalives_count tcp_keepalives_idle
  tcp_keepalives_interval tcp_user_timeout temp_buffers timezone transaction_timeout transform_null_equals work_mem
  xmlbinary xmloption`.split(/\s+/),
)

/** A family of planner switches, and settings that extensions and applications define for themselves. */
const ALLOWED_FAMILIES = /^(?:enable|geqo|jit)_[a-z_]+$|^[a-z_][a-z0-9_$]*\.[a-z0-9_$.]+$/

const READ_ONLY: ReadonlySet<string> = new Set(['default_transaction_read_only', 'transaction_read_only'])

/** Not settings: they name whom to be, where, and in what language, and are handled apart. */
const ADDRESS: ReadonlySet<string> = new Set(['user', 'database', 'options', 'replication'])

export interface Settings {
  /** To be sent to the target, names in lower case. `options` is taken apart into single settings. */
  readonly passed: ReadonlyMap<string, string>
  /** Would have touched read-only, which is the gateway's to set. */
  readonly stripped: readonly string[]
  /** Not on the list: the connection is refused, naming these. */
  readonly refused: readonly string[]
}

/** `parameters` is the startup packet whole; the later of two settings wins, and a plain one over `options`. */
export function startupSettings(parameters: ReadonlyMap<string, string>, readOnly: boolean): Settings {
  const passed = new Map<string, string>()
  const stripped: string[] = []
  const refused: string[] = []
  const claim = (name: string, value: string): void => {
    const known = name.toLowerCase()
    if (READ_ONLY.has(known)) {
      if (readOnly) stripped.push(known)
      else passed.set(known, value)
    } else if (ALLOWED.has(known) || ALLOWED_FAMILIES.test(known)) passed.set(known, value)
    else refused.push(name)
  }
  for (const [name, value] of switches(parameters.get('options') ?? '')) claim(name, value)
  for (const [name, value] of parameters) {
    if (!ADDRESS.has(name) && !name.startsWith('_pq_.')) claim(name, value)
  }
  return { passed, stripped, refused }
}

/** The settings in `options`, spelled as for the server's command line; other switches come out as they stand. */
function switches(options: string): [name: string, value: string][] {
  const found: [string, string][] = []
  const words = splitOptions(options)
  for (let i = 0; i < words.length; i++) {
    let word = words[i] ?? ''
    if (word === '-c') word = `-c${words[++i] ?? ''}`
    const setting = /^(?:-c|--)([^=]+)=(.*)$/s.exec(word)
    const [, name = word, value = ''] = setting ?? []
    found.push([setting === null ? word : name.replaceAll('-', '_'), value])
  }
  return found
}

/** As PostgreSQL's pg_split_opts: white space parts, a backslash makes the next character ordinary. */
function splitOptions(options: string): string[] {
  const words = options.match(/(?:\\[\s\S]|[^\s\\])+/g) ?? []
  return words.map((word) => word.replace(/\\([\s\S])/g, '$1'))
}

/** What the startup asks about replication: any spelling of true, or `database`. */
export function replicationOf(parameters: ReadonlyMap<string, string>): 'physical' | 'database' | undefined {
  const asked = parameters.get('replication')?.toLowerCase()
  if (asked === undefined || /^(?:f|fa|fal|fals|false|n|no|of|off|0)$/.test(asked)) return undefined
  return asked === 'database' ? 'database' : 'physical'
}
