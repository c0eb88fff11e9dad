// Package control reads the text formats of Debian archives: paragraphs of fields (deb822), versions,
// and the relations between packages.
//
//	Reader     paragraphs from a stream, bounded in line and paragraph size
//	Compare    versions, in dpkg's order
//	Relation   one "name:arch (>= version)"; a Clause is alternatives of them; a field is a list of Clauses
//
// Formats: deb822(5), deb-version(7), deb-control(5), Debian Policy 5 and 7. Where the archive is sloppier than
// the manual and apt takes it anyway, so does this package.
package control
