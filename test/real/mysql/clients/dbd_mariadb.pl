# DBD::MariaDB, which is MariaDB Connector/C: server-side statements with parameters, binary data, errors, several results.
use strict;
use warnings;
use utf8;
use DBI;
binmode STDOUT, ':encoding(UTF-8)';

my ($port, $user, $password) = @ARGV;
for my $prepare (0, 1) {
    my $dbh = DBI->connect("DBI:MariaDB:database=shop;host=127.0.0.1;port=$port", $user, $password, {
        RaiseError => 1, PrintError => 0, mariadb_server_prepare => $prepare, mariadb_multi_statements => 1,
    });
    print "== $prepare $dbh->{mariadb_serverinfo}\n";
    $dbh->do('create or replace table perl (id int primary key auto_increment, t text, n double, b blob)');
    my $insert = $dbh->prepare('insert into perl (t, n, b) values (?, ?, ?)');
    for my $i (1 .. 20) {
        $insert->bind_param(1, $i % 5 == 0 ? undef : "naïve “$i” o'b\\x");
        $insert->bind_param(2, $i / 3, DBI::SQL_DOUBLE);
        $insert->bind_param(3, "\x00\x{ff}" x $i, DBI::SQL_BLOB);
        print $insert->execute, ' ', $insert->last_insert_id, "\n";
    }
    my $select = $dbh->prepare('select id, t, round(n, 6), hex(b) from perl where id between ? and ? order by id');
    for my $from (3, 12) {
        $select->execute($from, $from + 5);
        print join(' | ', map { $_ // 'NULL' } @$_), "\n" for @{ $select->fetchall_arrayref };
    }
    for my $bad ('select * from nowhere', 'frob', 'insert into perl (id) values (1)') {
        eval { my $sth = $dbh->prepare($bad); $sth->execute };
        print $dbh->err // '', ' ', $dbh->state // '', ' ', $dbh->errstr // '', "\n";
    }
    $dbh->begin_work;
    print $dbh->do('update perl set n = 0'), "\n";
    $dbh->rollback;
    print $dbh->selectrow_array('select count(*), sum(n = 0) from perl'), "\n";
    if (!$prepare) {
        my $sth = $dbh->prepare('select 1; do 2; select 3, 4');
        $sth->execute;
        do { print join(' ', map { join ',', @$_ } @{ $sth->fetchall_arrayref }), "\n" if $sth->{NUM_OF_FIELDS} } while $sth->more_results;
    }
    print $dbh->ping, ' ', length($dbh->selectrow_array(q{select repeat('z', 100000)})), "\n";
    $dbh->disconnect;
}
