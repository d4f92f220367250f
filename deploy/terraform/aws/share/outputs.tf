output "share" {
  description = "What the modules agent and workload take as `share`."
  value = {
    file_system_id           = aws_efs_file_system.share.id
    file_system_arn          = aws_efs_file_system.share.arn
    client_security_group_id = aws_security_group.client.id
    agent_uid                = var.agent_uid
    agent_access_point       = { id = aws_efs_access_point.agent.id, arn = aws_efs_access_point.agent.arn }
    workloads = {
      for name, point in aws_efs_access_point.workload : name => {
        access_point_id  = point.id
        access_point_arn = point.arn
        directory_id     = aws_efs_access_point.directory[name].id
        directory_arn    = aws_efs_access_point.directory[name].arn
      }
    }
  }
}
