package org.apache.zeppelin.spark;

import java.io.File;
import java.net.URLClassLoader;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.SQLContext;
import org.apache.spark.sql.SparkSession;
import org.apache.zeppelin.interpreter.InterpreterContext;
import org.apache.zeppelin.interpreter.InterpreterGroup;
import org.apache.zeppelin.interpreter.InterpreterResult;
import org.apache.zeppelin.interpreter.ZeppelinContext;
import org.apache.zeppelin.interpreter.thrift.InterpreterCompletion;

/**
 * Stands for Zeppelin's class of this name, which is in a jar (spark-scala-2.12) that some mirrors of
 * Maven Central lack. Zeppelin's is a Scala shell that also makes the Spark for %spark.pyspark and
 * %spark.ipyspark. This one makes that Spark, whatever its Scala, and is no shell: neither %spark
 * itself nor the progress of Spark's jobs that Zeppelin counts can be tested with it. Those Python
 * interpreters are Zeppelin's own, but for what assemble.py replaces in them.
 */
public class SparkScala212Interpreter extends AbstractSparkScalaInterpreter {
  private final SparkConf conf;
  private final Properties properties;
  private final InterpreterGroup group;
  private SparkSession session;
  private ZeppelinContext z;

  public SparkScala212Interpreter(
      SparkConf conf,
      List<String> files,
      Properties properties,
      InterpreterGroup group,
      URLClassLoader loader,
      File out) {
    this.conf = conf;
    this.properties = properties;
    this.group = group;
  }

  @Override
  public void open() {
    session = SparkSession.builder().config(conf).getOrCreate();
    SparkShims shims = new Spark3Shims(properties, session);
    z = new ZeppelinContext(group.getInterpreterHookRegistry(), 1000) {
      @Override
      public Map<String, String> getInterpreterClassMap() {
        return Map.of();
      }

      @Override
      public List<Class> getSupportedClasses() {
        return List.of(Dataset.class);
      }

      @Override
      public String showData(Object frame, int rows) {
        return shims.showDataFrame(frame, rows, getInterpreterContext());
      }
    };
  }

  @Override
  public void close() {
    session.stop();
  }

  @Override
  public SparkContext getSparkContext() {
    return session.sparkContext();
  }

  @Override
  public SQLContext getSqlContext() {
    return session.sqlContext();
  }

  @Override
  public Object getSparkSession() {
    return session;
  }

  @Override
  public String getSparkUrl() {
    return "";
  }

  @Override
  public ZeppelinContext getZeppelinContext() {
    return z;
  }

  @Override
  public int getProgress(String jobs, InterpreterContext context) {
    return 0;
  }

  @Override
  public InterpreterResult interpret(String code, InterpreterContext context) {
    return new InterpreterResult(InterpreterResult.Code.ERROR, "no Scala here");
  }

  @Override
  public List<InterpreterCompletion> completion(String code, int cursor, InterpreterContext context) {
    return List.of();
  }

  @Override
  public ClassLoader getScalaShellClassLoader() {
    return Thread.currentThread().getContextClassLoader();
  }
}
