//! Commands of every kind through one node, looked at through another.

use anyhow::{Result, ensure};
use redis::aio::ConnectionManager;
use redis::{AsyncCommands, AsyncIter, RedisResult, Value, cmd, pipe};

/// What is there, and what should be.
macro_rules! expect {
    ($found:expr, $wanted:expr) => {{
        let (found, wanted) = ($found, $wanted);
        ensure!(found == wanted, "line {}: {found:?} instead of {wanted:?}", line!());
    }};
}

/// Single commands.
pub(crate) async fn commands(one: &mut ConnectionManager, other: &mut ConnectionManager, prefix: &str) -> Result<()> {
    let key = |name: &str| format!("{prefix}/{name}");
    let (a, b, passing, none) = (key("a"), key("b"), key("passing"), key("none"));
    expect!(one.ping::<String>().await?, "PONG");
    let binary: Vec<u8> = (0..700_000u32).map(|place| place.wrapping_mul(7) as u8).collect();
    let _: () = one.set(key("binary"), &binary).await?;
    ensure!(other.get::<_, Vec<u8>>(key("binary")).await? == binary, "a value of 700 KB with every byte");
    expect!(other.get::<_, Option<String>>(&none).await?, None);
    let _: () = one.mset(&[(&a, "1"), (&b, "two")]).await?;
    let values: Vec<Option<String>> = other.mget(&[&a, &b, &none]).await?;
    expect!(values, [Some("1".to_owned()), Some("two".to_owned()), None]);
    expect!(one.incr::<_, _, i64>(&a, 1).await?, 2);
    expect!(one.decr::<_, _, i64>(&a, 12).await?, -10);
    refused(one.incr::<_, _, i64>(&b, 1).await, "value is not an integer or out of range")?;
    refused(cmd("NOSUCH").arg("x").query_async::<Value>(one).await, "unknown command 'NOSUCH'")?;
    expect!(one.append::<_, _, usize>(&b, "+").await?, 4);
    expect!(other.strlen::<_, usize>(&b).await?, 4);
    expect!(one.set_nx::<_, _, bool>(&b, "x").await?, false);
    let before: String = cmd("SET").arg(&b).arg("y").arg("XX").arg("GET").query_async(one).await?;
    expect!(before, "two+");
    let _: () = one.set_ex(&passing, "x", 1_000).await?;
    ensure!((999..=1_000).contains(&other.ttl::<_, i64>(&passing).await?), "TTL");
    expect!(one.persist::<_, bool>(&passing).await?, true);
    expect!(other.ttl::<_, i64>(&passing).await?, -1);
    expect!(one.get_del::<_, String>(&passing).await?, "x");
    expect!(other.exists::<_, usize>(&[&passing, &a]).await?, 1);
    let mut found = Vec::new();
    let mut keys: AsyncIter<'_, String> = other.scan_match(format!("{prefix}/*")).await?;
    while let Some(each) = keys.next_item().await {
        found.push(each?);
    }
    drop(keys);
    found.sort();
    expect!(found, [a.clone(), b.clone(), key("binary")]);
    expect!(one.del::<_, usize>(&[a, b, key("binary"), none]).await?, 3);
    expect!(other.keys::<_, Vec<String>>(format!("{prefix}/*")).await?, Vec::<String>::new());
    let info: String = cmd("INFO").query_async(one).await?;
    ensure!(info.contains("loading:0\r\n"), "INFO: {info}");
    let _: () = cmd("CLIENT").arg("SETNAME").arg("round").query_async(one).await?;
    expect!(cmd("CLIENT").arg("GETNAME").query_async::<String>(one).await?, "round");
    Ok(())
}

/// Pipelines and transactions.
pub(crate) async fn together(one: &mut ConnectionManager, other: &mut ConnectionManager, prefix: &str) -> Result<()> {
    let key = |name: &str| format!("{prefix}/{name}");
    let (t, n) = (key("t"), key("n"));
    let keys: Vec<String> = (0..500).map(|number| key(&format!("p{number}"))).collect();
    let mut pipeline = pipe();
    for (number, key) in keys.iter().enumerate() {
        pipeline.set(key, number).ignore();
    }
    for key in &keys {
        pipeline.get(key);
    }
    let values: Vec<usize> = pipeline.query_async(one).await?;
    expect!(values, (0..500).collect::<Vec<_>>());
    expect!(other.del::<_, usize>(&keys).await?, 500);
    let done: (i64, String) = pipe().atomic().set(&t, "text").ignore().incr(&n, 1).get(&t).query_async(one).await?;
    expect!(done, (1, "text".to_owned()));
    // An error undoes all of it: a difference to Redis that the README names.
    let mut transaction = pipe();
    transaction.atomic().set(&t, "other").ignore().incr(&t, 1).incr(&n, 1);
    refused(transaction.query_async::<Value>(one).await, "EXECABORT")?;
    let left: Vec<String> = other.mget(&[&t, &n]).await?;
    expect!(left, ["text", "1"]);
    let _: () = cmd("WATCH").arg(&n).query_async(one).await?;
    let done: Option<Vec<Value>> = pipe().atomic().set(&n, "2").query_async(one).await?;
    ensure!(done.is_some(), "a transaction with WATCH");
    let _: () = cmd("WATCH").arg(&n).query_async(one).await?;
    let _: () = other.set(&n, "theirs").await?;
    let done: Option<Vec<Value>> = pipe().atomic().set(&n, "mine").query_async(one).await?;
    ensure!(done.is_none(), "a watched key that another one wrote");
    expect!(one.get::<_, String>(&n).await?, "theirs");
    expect!(one.del::<_, usize>(&[t, n]).await?, 2);
    Ok(())
}

fn refused<T: std::fmt::Debug>(outcome: RedisResult<T>, words: &str) -> Result<()> {
    let text = match outcome {
        Ok(answer) => anyhow::bail!("{answer:?} instead of {words}"),
        Err(error) => format!("{:?} {error}", error.code()),
    };
    ensure!(text.contains(words), "{text} instead of {words}");
    Ok(())
}
