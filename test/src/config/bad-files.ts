/** What people get wrong in a configuration, and what they are told. */
const NAME = 'a name of at most 63 letters, digits, ".", "_" and "-", beginning with a letter or digit'

/** [what it is about, what stands in the small file, what is written instead, every fault in order] */
export const BAD: readonly (readonly [string, string, string, readonly string[]])[] = [
  [
    'a console that would carry passwords in clear',
    'listeners:\n',
    'listeners:\n  web: { type: console, address: "0.0.0.0:8080", require_tls: false }\n',
    [
      'config.yaml:7:63  listeners.web.require_tls  plain HTTP is for loopback: passwords and what was recorded would cross the network in clear',
    ],
  ],
  [
    'an address of the console that is not the one it speaks',
    'listeners:\n',
    'listeners:\n  web: { type: console, address: "0.0.0.0:8443", public_url: "http://gw.example.com" }\n',
    ['config.yaml:7:62  listeners.web.public_url  this listener speaks HTTPS: expected https://…'],
  ],
  [
    'a misspelt key hides the missing one',
    'address: db-1.internal:5432',
    'adress: db-1.internal:5432',
    ['config.yaml:21:5  targets.orders.adress  unknown key "adress": did you mean "address"?'],
  ],
  [
    'a misspelt key that may be absent',
    'max_rows: 100',
    'max_row: 100',
    ['config.yaml:32:5  roles.reader.max_row  unknown key "max_row": did you mean "max_rows"?'],
  ],
  [
    'an unknown key like no other',
    'integrity:',
    'oidc: []\nintegrity:',
    ['config.yaml:41:1  oidc  unknown key "oidc"'],
  ],
  [
    'a missing key stands at its parent',
    '    address: db-1.internal:5432\n',
    '',
    [
      'config.yaml:19:3  targets.orders.address  missing key "address": expected host:port, an IPv6 address in brackets',
    ],
  ],
  [
    'a missing key of the file itself',
    'version: 1\n',
    '',
    ['config.yaml:1:1  version  missing key "version": expected 1'],
  ],
  ['another version', 'version: 1', 'version: 2', ['config.yaml:1:10  version  expected 1, found 2']],
  [
    'text for a number',
    'max_rows: 100',
    'max_rows: "100"',
    ['config.yaml:32:15  roles.reader.max_rows  expected a number, found "100"'],
  ],
  [
    'a number for text',
    'labels: { env: prod }',
    'labels: { env: 1 }',
    [`config.yaml:23:20  targets.orders.labels.env  expected ${NAME}, found 1: put it in quotes`],
  ],
  [
    'a number below its limit',
    'max_rows: 100',
    'max_rows: 0',
    ['config.yaml:32:15  roles.reader.max_rows  expected at least 1, found 0'],
  ],
  [
    'an empty list',
    'targets: [orders]',
    'targets: []',
    ['config.yaml:31:14  roles.reader.targets  expected at least 1 in the list, found an empty list'],
  ],
  [
    'a list for a map',
    'labels: { env: prod }',
    'labels: [prod]',
    ['config.yaml:23:13  targets.orders.labels  expected a map of names, found a list'],
  ],
  [
    'nothing for a map',
    'users:\n',
    'users:\n  bob:\n',
    ['config.yaml:14:7  users.bob  expected a map, found nothing'],
  ],
  [
    'neither of two forms',
    'targets: [orders]',
    'targets: 5',
    [
      'config.yaml:31:14  roles.reader.targets  expected a list of target names, or a map of labels that a target must have, found 5',
    ],
  ],
  [
    'a fault inside one of two forms',
    'targets: [orders]',
    'targets: [5]',
    [
      'config.yaml:31:15  roles.reader.targets[0]  expected a name in which * stands for any characters, found 5: put it in quotes',
    ],
  ],
  [
    'a type that is none',
    'type: postgres\n    address: 127',
    'type: postgre\n    address: 127',
    [
      'config.yaml:8:11  listeners.postgres.type  expected postgres, mysql, ssh, console or metrics, found "postgre"',
    ],
  ],
  [
    'no type',
    '    type: postgres\n    address: 127',
    '    address: 127',
    [
      'config.yaml:7:3  listeners.postgres.type  missing key "type": expected postgres, mysql, ssh, console or metrics',
    ],
  ],
  [
    'a misspelt verb',
    'verb: [DELETE]',
    'verb: [DELET]',
    [
      'config.yaml:37:20  policies[0].when.verb[0]  expected a verb such as SELECT, DELETE, CREATE ROLE or unknown, found "DELET": did you mean "DELETE"?',
    ],
  ],
  [
    'a secret in the file is not shown',
    'password: env:ORDERS_PW',
    'password: hunter2',
    [
      'config.yaml:22:41  targets.orders.credentials.password  expected env:NAME or file:PATH, never the secret itself',
    ],
  ],
  [
    'nor one that looks like a number',
    'password: env:ORDERS_PW',
    'password: 4711',
    [
      'config.yaml:22:41  targets.orders.credentials.password  expected env:NAME or file:PATH, never the secret itself',
    ],
  ],
  [
    'nor one behind a misspelt key',
    'password: env:ORDERS_PW',
    'pasword: hunter2',
    [
      'config.yaml:22:31  targets.orders.credentials.pasword  unknown key "pasword": did you mean "password"?',
    ],
  ],
  [
    'only the key of keys comes from a program',
    'password: env:ORDERS_PW',
    'password: cmd:pass',
    [
      'config.yaml:22:41  targets.orders.credentials.password  expected env:NAME or file:PATH, never the secret itself',
    ],
  ],
  [
    'a length of time',
    'integrity:',
    'auth: { lockout: { for: 5 minutes } }\nintegrity:',
    [
      'config.yaml:41:25  auth.lockout.for  expected a length of time such as 30s, 15m, 12h, 90d or 5y, found "5 minutes"',
    ],
  ],
  [
    'a length of nothing',
    'integrity:',
    'auth: { sessions: { max: 0s } }\nintegrity:',
    ['config.yaml:41:26  auth.sessions.max  expected a length of time above zero, found "0s"'],
  ],
  [
    'a day that no month has',
    'role: reader',
    'role: reader, expires: 2027-02-31',
    [
      'config.yaml:34:50  grants[0].expires  expected a date such as 2027-06-30 or a moment such as 2027-06-30T18:00:00Z, found "2027-02-31"',
    ],
  ],
  [
    'several faults in the order of the file',
    'max_rows: 100',
    'hours: { tz: Europe/Berln, days: [mon-fry], from: 8:00, to: "19:00" }',
    [
      'config.yaml:32:18  roles.reader.hours.tz  expected the name of a time zone such as Europe/Berlin or UTC, found "Europe/Berln"',
      'config.yaml:32:39  roles.reader.hours.days[0]  expected a day or a run of days such as sat or mon-fri, found "mon-fry"',
      'config.yaml:32:55  roles.reader.hours.from  expected a time of the day such as "08:00", in quotes, found "8:00"',
    ],
  ],
  [
    'a user whom no login could name',
    '  alice:',
    '  al~ice:',
    [
      'config.yaml:14:3  users.al~ice  expected a user name of at most 63 letters, digits, ".", "_", "-" and "@", beginning with a letter or digit, found "al~ice"',
    ],
  ],
  ['a name that objects lose', '  alice:', '  __proto__:', ['config.yaml:14:3  unknown key "__proto__"']],
  [
    'a doubled name',
    '  ci:',
    '  alice: {}\n  ci:',
    ['config.yaml:16:3  the key alice stands twice in its map'],
  ],
  [
    'an alias',
    'address: db-1.internal:5432',
    'address: *db',
    ['config.yaml:21:14  aliases are not read here: write the value out'],
  ],
  ['a tab', '  tls:', '\ttls:', ['config.yaml:5:1  not valid YAML: Tabs are not allowed as indentation']],
  [
    'a syntax error is told once',
    'key: file:kek }',
    'key: file:kek',
    [
      'config.yaml:41:1  not valid YAML: Flow map in block collection must be sufficiently indented and end with a }',
    ],
  ],

  [
    'a group that is not there',
    'groups: [engineering]',
    'groups: [enginering]',
    [
      'config.yaml:15:14  users.alice.groups[0]  no group is called "enginering": did you mean "engineering"?',
    ],
  ],
  [
    'a role that is not there',
    'role: reader',
    'role: raeder',
    ['config.yaml:34:33  grants[0].role  no role is called "raeder": did you mean "reader"?'],
  ],
  [
    'a user that is not there',
    'group: engineering, role',
    'user: zoe, role',
    ['config.yaml:34:13  grants[0].user  no user is called "zoe"'],
  ],
  [
    'a grant to nobody',
    'group: engineering, role',
    'role',
    ['config.yaml:34:5  grants[0]  expected either "user" or "group"'],
  ],
  [
    'a target that is not there',
    'targets: [orders]',
    'targets: [order]',
    ['config.yaml:31:15  roles.reader.targets[0]  no target is called "order": did you mean "orders"?'],
  ],
  [
    'reading only without an account that cannot write',
    'max_rows: 100',
    'read_only: true',
    ['config.yaml:32:16  roles.reader.read_only  target "orders" has no read_only_credentials'],
  ],
  [
    'replication under a limit that it cannot keep',
    'max_rows: 100',
    'max_rows: 100\n    replication: true',
    [
      'config.yaml:33:18  roles.reader.replication  replication carries all data of the server, so "max_rows" cannot hold beside it: use two roles',
    ],
  ],
  [
    'reading only over SSH',
    'targets: [orders]\n    max_rows: 100',
    'targets: [web]\n    read_only: true',
    [
      'config.yaml:31:15  roles.reader.targets[0]  "web" is an SSH target, and nothing there can be read-only',
    ],
  ],
  [
    'an address that is taken',
    'groups:\n',
    '  shop: { type: postgres, address: 0.0.0.0:6432 }\ngroups:\n',
    ['config.yaml:10:36  listeners.shop.address  listener "postgres" has this address'],
  ],
  [
    'a listener to nowhere',
    '127.0.0.1:6432',
    '127.0.0.1:6432\n    target: webb',
    ['config.yaml:10:13  listeners.postgres.target  no target is called "webb": did you mean "web"?'],
  ],
  [
    'a listener to another protocol',
    '127.0.0.1:6432',
    '127.0.0.1:6432\n    target: web',
    [
      'config.yaml:10:13  listeners.postgres.target  a listener of type postgres cannot lead to a target of type ssh',
    ],
  ],
  [
    'a shared MySQL listener that knows no greeting',
    'groups:\n',
    '  m: { type: mysql, address: 0.0.0.0:6433 }\ngroups:\n',
    [
      'config.yaml:10:3  listeners.m.version  missing key "version": a listener without a target must say what it greets as',
    ],
  ],
  [
    'a person without an idle limit',
    'groups: [engineering]',
    'idle: none',
    [
      'config.yaml:15:5  users.alice.idle  only an account with "kind: service" may be exempt from the idle limit',
    ],
  ],
  [
    'a certificate nobody is asked for',
    'groups: [engineering]',
    'certificates: [{ subject: CN=alice }]',
    [
      'config.yaml:15:5  users.alice.certificates  no client shows a certificate without gateway.tls.client_ca',
    ],
  ],
  [
    'two ways into a host',
    'env:WEB_PW',
    'env:WEB_PW, agent: sock',
    ['config.yaml:28:5  targets.web.credentials  expected one of private_key, password and agent'],
  ],
  [
    'a host that could be anyone',
    '    host_key: ssh-ed25519 SHA256:2Fb0cYJEGAEWR9mIRLWLsAqKcyYlzdWlvZ5lCkYN6Uw\n',
    '',
    [
      'config.yaml:24:3  targets.web  expected either host_key or known_hosts: an unknown host is never trusted',
    ],
  ],
  [
    'a policy against everything',
    '{ verb: [DELETE], where: none }',
    '{}',
    [
      'config.yaml:37:5  policies[0].when  expected at least one condition: this would refuse every statement',
    ],
  ],
  [
    'two policies of one name',
    'recording:',
    '  - { id: no-bare-delete, when: { verb: [DROP] }, then: deny }\nrecording:',
    ['config.yaml:39:11  policies[1].id  policy 1 of the list has this id'],
  ],
]
