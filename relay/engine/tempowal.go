package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// tempoBlock is the format of blocks that Tempo is set up to write; see
// config/tempo.yaml.tmpl.
const tempoBlock = "vParquet4"

// tempoMeta is what Tempo reads of a block's meta.json in its write-ahead log
// (tempodb/backend.BlockMeta of Tempo 2.9.0). The rest it counts anew.
type tempoMeta struct {
	Format           string        `json:"format"`
	BlockID          string        `json:"blockID"`
	TenantID         string        `json:"tenantID"`
	StartTime        time.Time     `json:"startTime"`
	EndTime          time.Time     `json:"endTime"`
	Encoding         string        `json:"encoding"`
	DedicatedColumns []tempoColumn `json:"dedicatedColumns"`
}

type tempoColumn struct {
	Name string `json:"n"`
}

// repairTempoLog gives the blocks in Tempo's write-ahead log that have pages and
// no readable meta.json a new one. Tempo writes meta.json anew with every flush
// and not atomically, and when it starts it removes a block whose meta.json it
// can't read, with minutes of spans that were safe on disk: so does a kill at the
// wrong moment lose them (tempodb/encoding/vparquet4/wal_block.go, Flush;
// tempodb/wal/wal.go, RescanBlocks). It must run while Tempo doesn't.
func repairTempoLog(dataDir string, retention time.Duration) (repaired []string, err error) {
	for _, pattern := range []string{"wal/*+" + tempoBlock, "generator/traces/*/*+" + tempoBlock} {
		blocks, err := filepath.Glob(filepath.Join(dataDir, filepath.FromSlash(pattern)))
		if err != nil {
			return repaired, fmt.Errorf("list the blocks in Tempo's log: %w", err)
		}
		for _, block := range blocks {
			done, err := repairTempoBlock(block, retention)
			if err != nil {
				return repaired, fmt.Errorf("repair a block in Tempo's log: %w", err)
			}
			if done {
				repaired = append(repaired, block)
			}
		}
	}
	return repaired, nil
}

func repairTempoBlock(block string, retention time.Duration) (done bool, err error) {
	meta := filepath.Join(block, "meta.json")
	content, err := os.ReadFile(meta)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if json.Valid(content) {
		return false, nil
	}
	newest, err := newestPage(block)
	if err != nil || newest.IsZero() {
		return false, err // nothing was flushed: nothing is lost
	}
	id, tenant, ok := strings.Cut(strings.TrimSuffix(filepath.Base(block), "+"+tempoBlock), "+")
	if !ok {
		return false, nil
	}
	// Its spans may be from any time that is kept, or ahead of us; a wide range
	// only costs a search some time.
	content, err = json.Marshal(tempoMeta{
		Format: tempoBlock, BlockID: id, TenantID: tenant, Encoding: "none",
		StartTime: newest.Add(-retention).UTC(), EndTime: newest.Add(MaxLead).UTC(),
		DedicatedColumns: []tempoColumn{{Name: "restate.invocation.id"}},
	})
	if err != nil {
		return false, err
	}
	return true, renameio.WriteFile(meta, content, 0o600)
}

// newestPage is when the last page of a block was written; zero when it has none.
func newestPage(block string) (newest time.Time, err error) {
	files, err := os.ReadDir(block)
	if err != nil {
		return newest, err
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			return newest, err
		}
		if file.Name() != "meta.json" && info.Size() > 0 && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest, nil
}
