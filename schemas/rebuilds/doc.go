// Package rebuilds makes a rollup anew while ingestion goes on, and has what the
// command that drives it and the consumers tell each other in the tables
// rebuilds and rebuild_pieces.
//
// # Rules
//
//  1. The new table is fed from its first moment: a view of its own takes every
//     batch into it beside the old one.
//  2. The owner of each partition fills in the rest. Between two batches nobody
//     else adds to the buckets of its workspaces, so source minus new table is
//     what a piece lacks, and is put in under a token that names it; asked again,
//     a piece lacks nothing. Whatever an owner mends in a rollup while it is made
//     anew, it mends in the new table as well.
//  3. An owner says that it knows of the rebuild between two batches, and so does
//     whoever takes a partition over, before its first INSERT. The pieces are
//     listed when every owner has said so: what was inserted before that is in
//     the source, and what comes after goes through the view.
//  4. When all pieces are filled in, the tables are exchanged: one atomic step,
//     before which readers see the old one and after which the new one. An owner
//     looks after each INSERT whether the exchange has come: if so the INSERT may
//     have reached either table, or both, and the rollups are compared with their
//     sources for what it touched before the batch counts as done.
//  5. The exchange is seen by the comment of the table, so whoever drives may be
//     killed anywhere and run again. After the exchange the old table is renamed
//     before it goes: an EXCHANGE that was late, of a run that is gone, finds no
//     such table, and which one is in place is looked at once more.
//  6. An owner is done with a rebuild when the new table has no longer its own
//     name; it then raises the revision of its partition, so that no answer that
//     rests on the old table is given any more.
//
// Buckets of minutes whose raw events may have aged out are copied from the old
// table, for nothing else knows them.
//
// What stays open, for the audit to find and mend: the new table does not know the
// tokens of batches that were done before it was fed, and after the exchange not
// those of the old one's view. A copy of an INSERT that was stopped for so long,
// between the question whether it may be sent and its first byte, or in a network,
// that somebody else has done its batch before the one or the other, is doubled in
// it. And of two runs that exchange the tables at the same moment, twice, within
// one INSERT, its owner sees nothing.
package rebuilds
