// Command hello says who it is and where, and shows that nothing else is there.
package main

import (
	"fmt"
	"os"
)

func main() {
	root, err := os.ReadDir("/")
	if err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
	fmt.Printf("hello from user %d; in / there is:", os.Getuid())
	for _, e := range root {
		fmt.Print(" ", e.Name())
	}
	fmt.Println()
}
