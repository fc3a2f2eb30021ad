package schemas

import (
	"io/fs"
	"strings"
	"testing"
)

func TestMigrationsServeOneNodeAndACluster(t *testing.T) {
	for name, options := range map[string]MigrateOptions{"one node": {}, "cluster": {Cluster: "main"}} {
		files, err := migrationsFor(options)
		if err != nil {
			t.Fatal(err)
		}
		names, err := fs.Glob(files, "*.sql")
		if err != nil || len(names) < 3 {
			t.Fatalf("%v, %v", names, err)
		}
		for _, file := range names {
			text, err := fs.ReadFile(files, file)
			if err != nil {
				t.Fatal(err)
			}
			for statement := range strings.SplitSeq(string(text), ";\n") {
				creates := strings.Count(statement, "CREATE ")
				adds := strings.Count(statement, "ADD COLUMN")
				if creates+adds == 0 {
					continue
				}
				if creates+adds != strings.Count(statement, "IF NOT EXISTS")+strings.Count(statement, "CREATE OR REPLACE VIEW ") { // which can run twice as well
					t.Errorf("%s in %s cannot run twice: %s", file, name, statement)
				}
				if clustered := strings.Count(statement, " ON CLUSTER `main`"); (name == "cluster") != (clustered == max(creates, strings.Count(statement, "ALTER "))) {
					t.Errorf("%s in %s: %s", file, name, statement)
				}
				if strings.Contains(statement, "ENGINE = ") && (name == "cluster") != strings.Contains(statement, "ENGINE = Replicated") {
					t.Errorf("%s in %s: %s", file, name, statement)
				}
				if window := "SETTINGS replicated_deduplication_window_seconds = 604800, replicated_deduplication_window = 50000"; strings.Contains(statement, "deduplication_window") && (name == "cluster") != strings.Contains(statement, window) {
					t.Errorf("%s in %s: %s", file, name, statement)
				}
			}
		}
	}
}
