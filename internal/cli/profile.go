package cli

import (
	"errors"
	"os"
	"runtime/pprof"
)

// profile begins to write a profile of this process's time to the file that --cpuprofile names, for "go tool pprof".
func (env *Env) profile() error {
	if env.cpuProfile == "" {
		return nil
	}
	f, err := os.Create(env.cpuProfile)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	env.profiled = func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}
	return nil
}
