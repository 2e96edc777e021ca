// Package prefetch tells the processor which memory is needed next. Between two
// frames a node sleeps and its caches are lost; what is fetched while something
// else is worked on does not have to be waited for.
//
// It only hints: it reads and changes nothing, and does nothing where there is
// no instruction for it. It starts no goroutines.
package prefetch
